#!/usr/bin/env python3
"""Everything that has to hold before a change goes in, in one go. Run it inside .venv: `make test`, `make check`.

    python tools/suite.py          the static checks, all tests on the embedded server, then the storage once more on
                                   the PostgreSQL that the system has
    python tools/suite.py check    the static checks alone, no server

HOLDFAST_TEST_POSTGRES decides the servers: "embedded", "system" (all tests on it) or "embedded,system". Unset: the
system's server joins in when its programs are found. Named but not found is a failure, so that CI cannot lose a server
in silence.

The dashboard is tried in a real browser where Chromium is found. Where it is not, the suite says so and goes on, unless
HOLDFAST_TEST_BROWSER is "required".

Every step runs even if an earlier one failed: one look shows all there is to mend. Checks that take long and need no
server run aside, beside the tests; what they said is shown whole once they have ended. On success pytest has the last
word on stdout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Started as a script, this file finds its neighbours as its tests do.
sys.path.insert(0, str(ROOT))

from tools import browser  # noqa: E402  (found through the line above)

VARIABLE = "HOLDFAST_TEST_POSTGRES"
SERVERS = ("embedded", "system")
NAMES = {"embedded": "embedded PostgreSQL", "system": "PostgreSQL of the system"}
# What depends on the server's version: the statements of the rooms that have any, the schema, and who waits for whom.
# The rooms above them speak to these.
_WITH_STATEMENTS = ("db", "events", "jobs", "leases", "observe", "schedules", "testing")
VERSION_SENSITIVE = (
    *(f"tests/rooms/{room}" for room in _WITH_STATEMENTS),
    # The statements of `access`, whose own tests need no server, and those of the API itself.
    "tests/rooms/api/test_signing_in.py",
    "tests/rooms/api/test_idempotency.py",
    "tests/interleavings",
    "tests/model",
)
# Of these what the version can change nothing in: another server, what Python does with arguments, lost connections and
# beats. Every function of the schema that they call is called by others.
VERSION_BLIND = (
    "tests/rooms/db/embedded",
    "tests/rooms/jobs/test_arguments.py",
    "tests/rooms/jobs/test_cut_anywhere.py",
    "tests/rooms/jobs/test_lost_answers.py",
    "tests/rooms/leases/test_unshaken.py",
    "tests/interleavings/test_kill_anywhere.py",
)
# Broken builds show that an experiment can fail: once is enough.
NO_BROKEN_BUILDS = "not broken and not is_caught and not are_caught"
# Tests of whole processes. Those that measure a promise in seconds bear a mark, and have the machine to themselves.
OF_PROCESSES = "tests/acceptance"
SIDE_BY_SIDE_MARKS, ALONE_MARKS = "not soak and not alone", "alone and not soak"
# What opens pages in Chromium, beside real servers and workers.
IN_BROWSER = "tests/browser"
BROWSER_VARIABLE = "HOLDFAST_TEST_BROWSER"
NO_BROWSER = f"""\
▲ THE DASHBOARD WAS NOT TESTED: no Chromium on PATH.
  `make browser` installs it (as root). {browser.ADVICE}"""
# Tests wait for servers much of the time: more processes than there are processors, each with a server of its own. With
# one more, the processors were idle for a fifth of it; a browser leaves them less. Which test goes where is decided by
# tests/conftest.py.
_PROCESSORS = os.cpu_count() or 1
SIDE_BY_SIDE = ("-n", str(_PROCESSORS + 2), "--dist", "load")
BROWSERS_SIDE_BY_SIDE = ("-n", str(_PROCESSORS + 1), "--dist", "load")


class Misconfigured(Exception):
    """The suite was asked for something that is not there."""


@dataclass(frozen=True)
class Step:
    """One command with the title it is announced by."""

    title: str
    command: tuple[str, ...]
    aside: bool = False
    """Runs beside the next steps, and has ended before the last of them begins."""


def existing(root: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the paths that are there: the house grows room by room."""
    return tuple(name for name in names if (root / name).exists())


def static_steps() -> list[Step]:
    """Style, types and floors."""
    return [
        Step("types", ("mypy", "."), aside=True),
        Step("style", ("ruff", "check", ".")),
        Step("format", ("ruff", "format", "--check", ".")),
        Step("floors", ("lint-imports", "--no-logo")),
        Step("dashboard", ("python", "tools/dashboard.py", "check")),
    ]


def architecture_step() -> Step:
    """The rules of the house that no ready-made tool knows."""
    return Step("architecture", ("pytest", "-q", "tests/architecture"))


def test_steps(root: Path, servers: tuple[str, ...]) -> list[Step]:
    """The tests on every server: all of them on the first, what depends on the version on the second."""
    first, *second = servers
    on_first = ("pytest", f"--server={first}")
    side_by_side = (*on_first, *SIDE_BY_SIDE, "-m", SIDE_BY_SIDE_MARKS, f"--ignore={IN_BROWSER}")
    steps = [Step(f"tests, {NAMES[first]}", side_by_side)]
    if existing(root, (OF_PROCESSES,)):
        steps.append(Step(f"promises in seconds, {NAMES[first]}", (*on_first, "-m", ALONE_MARKS, OF_PROCESSES)))
    if second and (paths := existing(root, VERSION_SENSITIVE)):
        left_out = tuple(f"--ignore={name}" for name in existing(root, VERSION_BLIND))
        on_second = ("pytest", f"--server={second[0]}", "--only-with-server", "-k", NO_BROKEN_BUILDS)
        command = (*on_second, *SIDE_BY_SIDE, *left_out, *paths)
        steps.append(Step(f"storage tests, {NAMES[second[0]]}", command))
    return steps


def browser_steps(environ: Mapping[str, str], *, found: str | None) -> list[Step]:
    """The journeys through the dashboard; nothing where no browser is, and a failure where one was promised."""
    asked = environ.get(BROWSER_VARIABLE, "")
    if asked not in {"", "required"}:
        raise Misconfigured(f'{BROWSER_VARIABLE} is {asked!r}; known is "required"')
    if found:
        return [Step("dashboard in a browser", ("pytest", "--server=embedded", *BROWSERS_SIDE_BY_SIDE, IN_BROWSER))]
    if asked:
        raise Misconfigured(f"{BROWSER_VARIABLE} requires Chromium, but none is on PATH.\n{browser.ADVICE}")
    return []


def choose_servers(environ: Mapping[str, str], *, system_found: bool) -> tuple[str, ...]:
    """The servers to test on."""
    asked = tuple(name.strip() for name in environ.get(VARIABLE, "").split(",") if name.strip())
    if unknown := [name for name in asked if name not in SERVERS]:
        raise Misconfigured(f"{VARIABLE} names {unknown[0]!r}; known are {' and '.join(SERVERS)}")
    if "system" in asked and not system_found:
        raise Misconfigured(
            f"{VARIABLE} asks for the system's PostgreSQL, but none is there.\nOn Debian: apt-get install postgresql"
        )
    return asked or (SERVERS if system_found else SERVERS[:1])


def system_postgres_found(where: Path = Path("/usr/lib/postgresql")) -> bool:
    """Whether the system has a server's programs. Debian keeps them off PATH."""
    return any(where.glob("*/bin/initdb")) or shutil.which("initdb") is not None


def surroundings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the steps: tests start some hundred processes, and each would compile all that it imports."""
    return {name: value for name, value in environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run(steps: list[Step]) -> list[str]:
    """Run the steps one after another, and one after another those aside; the titles of those that failed."""
    failed = []

    def note(step: Step, status: int) -> None:
        if status:
            failed.append(step.title)

    with ThreadPoolExecutor(max_workers=1) as aside:
        heard = [(step, aside.submit(listened_to, step)) for step in steps if step.aside]
        in_front = [step for step in steps if not step.aside]
        for step in in_front:
            if step is in_front[-1]:
                for beside, ending in heard:
                    announce(beside)
                    status, said = ending.result()
                    print(said, end="", flush=True)
                    note(beside, status)
            announce(step)
            note(step, subprocess.run(step.command, cwd=ROOT, env=surroundings(os.environ), check=False).returncode)
    return failed


def announce(step: Step) -> None:
    """Say what runs."""
    print(f"\n▸ {step.title}: {' '.join(step.command)}", flush=True)


def listened_to(step: Step) -> tuple[int, str]:
    """Run a step aside: its status, and all that it said."""
    done = subprocess.run(
        step.command,
        cwd=ROOT,
        env=surroundings(os.environ),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def main(arguments: list[str]) -> int:
    """Entry of the script."""
    if arguments not in ([], ["check"]):
        print(__doc__)
        return 2
    steps = static_steps()
    if arguments == ["check"]:
        steps.append(architecture_step())
    else:
        try:
            servers = choose_servers(os.environ, system_found=system_postgres_found())
            in_browser = browser_steps(os.environ, found=browser.find_browser())
        except Misconfigured as error:
            print(error, file=sys.stderr)
            return 2
        if "system" not in servers:
            print(f"▸ servers: {', '.join(servers)} (install PostgreSQL to test on the system's version too)")
        steps += in_browser + test_steps(ROOT, servers)
    failed = run(steps)
    if arguments != ["check"] and not in_browser:
        print(f"\n{NO_BROWSER}", file=sys.stderr)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
