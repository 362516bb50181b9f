"""The decisions of tools/suite.py: which servers, which steps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tools import suite
from tools.browser import find_browser
from tools.suite import BROWSER_VARIABLE, VARIABLE, Misconfigured, Step, browser_steps, choose_servers

PACKAGE = ROOT / "src" / "holdfast"


@pytest.mark.parametrize(
    ("asked", "found", "expected"),
    [
        ("", False, ("embedded",)),
        ("", True, ("embedded", "system")),
        ("embedded", True, ("embedded",)),
        ("embedded, system", True, ("embedded", "system")),
        ("system", True, ("system",)),
    ],
)
def test_servers_are_those_asked_for_or_found(asked: str, expected: tuple[str, ...], *, found: bool) -> None:
    assert choose_servers({VARIABLE: asked}, system_found=found) == expected


def test_a_server_asked_for_but_absent_is_a_failure() -> None:
    with pytest.raises(Misconfigured, match="none is there"):
        choose_servers({VARIABLE: "embedded,system"}, system_found=False)
    with pytest.raises(Misconfigured, match="'sytem'"):
        choose_servers({VARIABLE: "sytem"}, system_found=True)


def test_the_system_is_searched_where_debian_hides_its_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not suite.system_postgres_found(tmp_path)

    (tmp_path / "15" / "bin").mkdir(parents=True)
    (tmp_path / "15" / "bin" / "initdb").touch()
    assert suite.system_postgres_found(tmp_path)


def test_the_second_server_runs_only_what_depends_on_it(tmp_path: Path) -> None:
    (tmp_path / "tests" / "rooms" / "jobs").mkdir(parents=True)
    (tmp_path / "tests" / "rooms" / "jobs" / "test_arguments.py").touch()
    (tmp_path / "tests" / "rooms" / "cli").mkdir()
    (tmp_path / "tests" / "acceptance").mkdir()
    side_by_side = suite.SIDE_BY_SIDE
    beside = (*side_by_side, "-m", "not soak and not alone", "--ignore=tests/browser")
    alone = ("-m", "alone and not soak", "tests/acceptance")

    def commands(*servers: str) -> list[tuple[str, ...]]:
        return [step.command for step in suite.test_steps(tmp_path, servers)]

    assert commands("embedded", "system") == [
        ("pytest", "--server=embedded", *beside),
        ("pytest", "--server=embedded", *alone),
        (
            *("pytest", "--server=system", "--only-with-server"),
            *("-k", "not broken and not is_caught and not are_caught"),
            *side_by_side,
            "--ignore=tests/rooms/jobs/test_arguments.py",
            "tests/rooms/jobs",
        ),
    ]
    assert commands("system") == [
        ("pytest", "--server=system", *beside),
        ("pytest", "--server=system", *alone),
    ]


def test_what_is_to_run_alone_is_where_it_is_looked_for() -> None:
    """Elsewhere the mark would take a test out of both steps."""
    marked = {file for file in (ROOT / "tests").rglob("*.py") if "mark.alone" in file.read_text(encoding="utf-8")}

    assert {file.relative_to(ROOT).parts[:2] for file in marked - {Path(__file__)}} == {("tests", "acceptance")}


def test_every_room_with_statements_is_tested_on_both_servers() -> None:
    rooms = {file.relative_to(PACKAGE).parts[0] for file in PACKAGE.rglob("*.sql")}
    asked_through_the_api = {"access", "api"}

    assert {f"tests/rooms/{room}" for room in rooms - asked_through_the_api} <= set(suite.VERSION_SENSITIVE)


def test_what_the_lists_name_is_there() -> None:
    """A file that was renamed would be run twice, or not at all, and nobody would notice."""
    for names in (suite.VERSION_SENSITIVE, suite.VERSION_BLIND):
        assert suite.existing(ROOT, names) == names


def test_the_dashboard_is_tested_where_a_browser_is() -> None:
    (step,) = browser_steps({}, found="/usr/bin/chromium")

    assert step.command == ("pytest", "--server=embedded", *suite.BROWSERS_SIDE_BY_SIDE, "tests/browser")
    assert browser_steps({}, found=None) == []


def test_a_browser_that_is_required_but_absent_is_a_failure() -> None:
    with pytest.raises(Misconfigured, match="none is on PATH.\n.*apt-get install chromium"):
        browser_steps({BROWSER_VARIABLE: "required"}, found=None)
    with pytest.raises(Misconfigured, match="'yes'"):
        browser_steps({BROWSER_VARIABLE: "yes"}, found="/usr/bin/chromium")


def test_any_chromium_will_do() -> None:
    assert find_browser(lambda name: "/opt/chrome" if name == "google-chrome" else None) == "/opt/chrome"
    assert find_browser(lambda _name: None) is None


def test_every_step_runs_and_every_failure_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    python = sys.executable
    steps = [Step("first", (python, "-c", "raise SystemExit(1)")), Step("second", (python, "-c", "print('ran')"))]

    assert suite.run(steps) == ["first"]
    assert "ran\n" in capfd.readouterr().out


def test_the_steps_may_keep_what_python_compiled() -> None:
    assert suite.surroundings({"PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1"}) == {"PATH": "/bin"}


def test_what_runs_aside_is_heard_before_the_last_step_and_its_failure_is_named(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The step aside ends only when the one in front has begun: they run at the same time."""
    python, begun = sys.executable, tmp_path / "begun"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(begun)!r}).exists(): time.sleep(0.01)\nprint('checked')"
    steps = [
        Step("aside", (python, "-c", f"{waits}\nraise SystemExit(1)"), aside=True),
        Step("front", (python, "-c", f"import pathlib; pathlib.Path({str(begun)!r}).touch(); print('tested')")),
        Step("last", (python, "-c", "print('the last word')")),
    ]

    assert suite.run(steps) == ["aside"]
    said = capfd.readouterr().out
    assert said.index("tested\n") < said.index("▸ aside") < said.index("checked\n") < said.index("▸ last")
    assert said.endswith("the last word\n")
