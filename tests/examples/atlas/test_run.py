"""The whole example through the engine: jobs, failures of single items, exit codes, a second run."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from examples.atlas import pipeline, store
from examples.atlas.__main__ import main
from examples.atlas.artifacts import ArtifactUnavailable, read_artifact, store_artifact
from examples.atlas.packages import Dependency, InstalledPackage, Source
from examples.atlas.spdx import document_for
from examples.atlas.tasks import SBOM, app, process_sbom
from tests.examples.atlas.queries import query
from tests.examples.atlas.test_gitlog import commit, git

Run = Callable[..., tuple[int, dict[str, Any]]]
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def package(name: str, *needs: str) -> InstalledPackage:
    dependencies = tuple(Dependency(needed, None, "1") for needed in needs)
    return InstalledPackage("pypi", None, name, "1", None, None, None, None, dependencies)


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    app.configure()  # read anew: the application is of the module, the database of the test


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    sources = [Source("test", (package("app", "lib"), package("lib", "core"), package("core", "lib")))]
    monkeypatch.setattr(pipeline, "read_sources", lambda _limit: sources)

    def run_once(*paths: Path) -> tuple[int, dict[str, Any]]:
        status = main(["--json", "--out", str(tmp_path / "out"), *map(str, paths)])
        return status, json.loads(capsys.readouterr().out)

    return run_once


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository"
    path.mkdir()
    git(path, "init", "--initial-branch", "main")
    now = datetime.now(UTC).isoformat()
    commit(path, at=now)
    return path


def test_a_run_scores_draws_and_succeeds(run: Run, repository: Path) -> None:
    status, found = run(repository)

    assert (status, found["failures"]) == (0, [])
    scores = {row["canonical_id"]: row["criticality"] for row in found["packages"]}
    assert scores == {"pkg:pypi/core": 2, "pkg:pypi/lib": 2, "pkg:pypi/app": 0}
    assert [(row["display_name"], row["pony_factor"], row["adoption"]) for row in found["repositories"]] == [
        ("repository", 1, None)
    ]
    assert Path(found["picture"]).stat().st_size > 10_000


def test_a_second_run_changes_nothing(run: Run, repository: Path) -> None:
    run(repository)
    status, found = run(repository)

    assert status == 0
    assert found["documents"] == {"submitted": 3, "unchanged": 3}
    assert found["changed_scores"] == 0


def test_bad_items_fail_alone_and_the_exit_code_says_so(run: Run, repository: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init")
    bad = tmp_path / "bad.spdx.json"
    bad.write_text('{"spdxVersion": "SPDX-2.3", "name": "bad"}', encoding="utf-8")

    status, found = run(repository, empty, tmp_path / "nowhere", bad, tmp_path / "gone.json")
    assert status == 1
    assert sorted((failure["kind"], Path(failure["item"]).name) for failure in found["failures"]) == [
        ("gitlog", "empty"),
        ("gitlog", "nowhere"),
        ("sbom", "bad"),
        ("sbom", "gone.json"),
    ]
    reasons = " | ".join(failure["reason"] for failure in found["failures"])
    assert "empty history" in reasons
    assert "missing repository" in reasons
    assert "CreationInfo" in reasons
    assert len(found["packages"]) == 3
    assert len(found["repositories"]) == 1


def test_tables_say_no_data_where_there_is_none(
    run: Run, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del run  # only for the sources it puts in place
    assert main(["--out", str(tmp_path / "out"), str(repository), str(tmp_path / "nowhere")]) == 1

    shown = capsys.readouterr().out
    assert "no data" in shown
    assert "Most critical packages" in shown
    assert "1 item failed; everything else was processed" in shown


def test_a_given_document_is_taken_over(run: Run, repository: Path, tmp_path: Path) -> None:
    """A legacy envelope is accepted."""
    given = tmp_path / "given.json"
    given.write_text(json.dumps({"sbom": document_for(package("given", "lib"), NOW)}), encoding="utf-8")

    status, found = run(repository, given)
    assert status == 0
    assert {row["canonical_id"]: row["criticality"] for row in found["packages"]}["pkg:pypi/lib"] == 3


async def test_a_missing_artifact_fails_and_is_reprocessed_only_when_asked_for(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    raw = json.dumps(document_for(package("app", "lib"), NOW)).encode()
    content_hash, path = store_artifact(tmp_path, raw)
    [row] = await store.submit(connection, "test", [("pkg:pypi/app", content_hash, path)])
    (tmp_path / path).unlink()

    async def attempt(*, reprocess_failed: bool = False) -> tuple[int, list[str]]:
        await process_sbom.enqueue(row["id"], str(tmp_path), reprocess_failed=reprocess_failed)
        report = await app.drain([SBOM], concurrency=1)
        return report.failed, [found["status"] for found in await connection.fetch(query("submissions"))]

    async with app:
        assert await attempt() == (1, ["failed"])
        store_artifact(tmp_path, raw)
        assert await attempt() == (0, ["failed"])
        assert await attempt(reprocess_failed=True) == (0, ["processed"])


def test_an_artifact_path_cannot_leave_the_store(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    for path in ("../secret", "/etc/hostname", "sboms/../../secret"):
        with pytest.raises(ArtifactUnavailable, match="outside the store"):
            read_artifact(tmp_path / "store", path)


def test_storing_twice_keeps_one_file(tmp_path: Path) -> None:
    assert store_artifact(tmp_path, b"x") == store_artifact(tmp_path, b"x")
    assert [path.name[-10:] for path in tmp_path.rglob("*") if path.is_file()] == [".spdx.json"]
