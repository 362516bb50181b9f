"""When the dashboard is built, and from what: tools/dashboard.py on folders that are made up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tools import dashboard
from tools.dashboard import OUTPUT, SKIP, STAMP, BuildFailed, is_due, sources_hash


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with a source and what was built from it."""
    for name, text in {
        "web/package.json": "{}",
        "web/package-lock.json": "{}",
        "web/src/main.ts": "export {};",
        f"{OUTPUT}/index.html": "<!doctype html>",
    }.items():
        write(tmp_path / name, text)
    write(tmp_path / OUTPUT / STAMP, sources_hash(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_what_is_built_from_these_sources_is_not_built_again(root: Path) -> None:
    assert not is_due(root, {})


@pytest.mark.parametrize(
    "name", ["web/src/main.ts", "web/src/new.css", "web/package-lock.json", "web/vite.config.ts", "web/.npmrc"]
)
def test_a_changed_or_new_source_makes_it_due(root: Path, name: str) -> None:
    write(root / name, "changed")

    assert is_due(root, {})


def test_a_removed_or_renamed_source_makes_it_due(root: Path) -> None:
    (root / "web/src/main.ts").rename(root / "web/src/page.ts")

    assert is_due(root, {})


@pytest.mark.parametrize(
    "name", ["web/node_modules/react/index.js", "web/README.md", "web/openapi.json", "web/src/.main.ts.swp"]
)
def test_what_is_no_source_changes_nothing(root: Path, name: str) -> None:
    write(root / name, "changed")

    assert not is_due(root, {})


@pytest.mark.parametrize("name", ["index.html", STAMP])
def test_a_build_that_was_cut_short_is_done_again(root: Path, name: str) -> None:
    (root / OUTPUT / name).unlink()

    assert is_due(root, {})


def test_whoever_wants_none_is_not_made_to_build(root: Path) -> None:
    (root / OUTPUT / STAMP).unlink()

    assert not is_due(root, {SKIP: "1"})
    assert is_due(root, {SKIP: "0"})


def test_a_failed_build_says_how_to_do_without(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard, "node_folder", lambda: made_up_node(root, exit_status=7))

    with pytest.raises(BuildFailed, match="npm ci .*failed in web/ .exit status 7"):
        dashboard.build(root)
    assert f"{SKIP}=1" in capfd.readouterr().err


def test_a_build_that_makes_no_page_is_a_failure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "node_folder", lambda: made_up_node(root, exit_status=0))
    write(root / "web/src/main.ts", "changed")

    with pytest.raises(BuildFailed, match="it made no index.html"):
        dashboard.build(root)
    assert is_due(root, {})
    assert (root / OUTPUT / "index.html").exists(), "the pages that were there are still served"


def test_while_a_new_build_is_put_in_place_no_page_misses_anything(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, made = root / OUTPUT, root / "made"
    for folder, build in ((output, "a"), (made, "b")):
        write(folder / "index.html", f"assets/{build}.js")
        write(folder / "assets" / f"{build}.js", build)
    write(output / "assets/old/left.css", "")
    steps = []

    def step(done: Any) -> Any:
        def watched(*arguments: Any) -> Any:
            done(*arguments)
            page = (output / "index.html").read_text(encoding="utf-8")
            steps.append((page, (output / page).exists()))

        return watched

    monkeypatch.setattr(Path, "replace", step(Path.replace))
    monkeypatch.setattr(Path, "unlink", step(Path.unlink))
    dashboard.put(made, output)

    assert steps == [("assets/a.js", True)] + [("assets/b.js", True)] * 3
    assert sorted(path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()) == [
        "assets/b.js",
        STAMP,
        "index.html",
    ]
    assert not (output / "assets/old").exists()


def test_npm_finds_this_node_first_and_installs_only_what_the_lock_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = made_up_node(root, exit_status=0)
    monkeypatch.setattr(dashboard, "node_folder", lambda: node)

    dashboard.install(root)
    dashboard.install(root)
    write(root / "web/package-lock.json", '{"changed": true}')
    dashboard.install(root)

    said = (root / "said").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 2)[2] for line in said] == ["ci --no-audit --no-fund"] * 2
    assert said[0].split(" ")[0].split(os.pathsep)[0] == str(node / "bin")


def made_up_node(root: Path, *, exit_status: int) -> Path:
    """A Node that only writes down how it was called."""
    script = f'#!/bin/sh\necho "$PATH" "$@" >> "{root}/said"\nexit {exit_status}\n'
    write(root / "node/bin/node", script)
    (root / "node/bin/node").chmod(0o755)
    return root / "node"


def test_the_real_node_is_found() -> None:
    assert (dashboard.node_folder() / "bin" / "node").exists()
