#!/usr/bin/env python3
"""Sets up .venv if it is not ready, then runs a command in it. Needs nothing but Python and its standard library.

    python3 tools/bootstrap.py --extras dev -- python tools/suite.py

The environment is made by the first way that works: uv; ``python -m venv``; ``venv --without-pip`` filled by a pip that
is already there. Nothing is ever installed outside .venv. A stamp in .venv holds a hash of what was installed, so that
the next call starts the command at once. Where the sources of the dashboard have changed, Holdfast alone is installed
again: that builds the pages.

The file runs on Python 3.8 too, so that an older interpreter gets a message and no traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
# Started as a script, this file finds its neighbours as its tests do.
sys.path.insert(0, str(ROOT))

from tools import dashboard  # noqa: E402  (found through the line above)

OLDEST = (3, 11)
# The versions under test, newest first; any other one from OLDEST on is taken when none of these runs.
PREFERRED = ("python3.13", "python3.12", "python3.11")
# `pip --python` exists since 22.3.
OLDEST_PIP = (22, 3)
DEBIAN_PACKAGES = "python3 python3-venv"
PROBE = "import sys; print(*sys.version_info[:2], getattr(sys, '_base_executable', None) or sys.executable)"
# Settings that would send packages somewhere else than into .venv.
MISLEADING = ("PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PIP_ROOT", "PIP_TARGET", "PIP_USER", "PYTHONHOME")


class SetupFailed(Exception):
    """The environment could not be made; the message says what to do."""


@dataclass(frozen=True)
class Python:
    """An interpreter that really ran: a pyenv shim on PATH may name a version that is switched off."""

    path: str
    version: tuple[int, int]


@dataclass(frozen=True)
class Way:
    """One way to an environment: the command that makes it (its folder comes last) and the one that fills it."""

    name: str
    make: list[str]
    fill: list[str]
    # Whether another way may succeed where this one could not install: uv and pip find their index differently.
    may_fall_through: bool


@dataclass(frozen=True)
class Answer:
    """How a program ended and what it said."""

    status: int
    output: str


class Machine:
    """What this script asks of the machine; its tests hand in another one."""

    def which(self, program: str) -> str | None:
        """The program's path, if PATH has it."""
        return shutil.which(program)

    def ask(self, command: Sequence[str]) -> Answer:
        """Run something short, quietly."""
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Answer(127, str(error))
        return Answer(done.returncode, done.stdout)

    def work(self, command: Sequence[str]) -> Answer:
        """Run something long: on a terminal its latest line stays visible, the whole is kept for a complaint."""
        environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
        environment.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
        lines = []
        try:
            child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, errors="replace"
            )
        except OSError as error:
            return Answer(127, str(error))
        with child:
            for line in child.stdout or ():
                lines.append(line)
                show_passing(line.strip())
        show_passing("")
        return Answer(child.returncode, "".join(lines))


def show_passing(text: str) -> None:
    """One line on a terminal that the next one overwrites; nothing in a log file."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 4
        sys.stderr.write(f"\r\x1b[K  {text[:width]}" if text else "\r\x1b[K")
        sys.stderr.flush()


def say(text: str) -> None:
    """A line of progress. Standard output belongs to the command."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


# --- choices ---


def find_python(machine: Machine, running: str = sys.executable) -> Python | None:
    """The newest tested interpreter that runs, else any that is new enough."""
    for name in (*PREFERRED, "python3", running):
        path = machine.which(name)
        answer = machine.ask([path, "-c", PROBE]) if path else None
        found = re.search(r"^(\d+) (\d+) (.+)$", answer.output, re.MULTILINE) if answer and answer.status == 0 else None
        if found and (int(found[1]), int(found[2])) >= OLDEST:
            return Python(found[3].strip(), (int(found[1]), int(found[2])))
    return None


def find_pip(machine: Machine, python: Python) -> list[str] | None:
    """A pip that can install into an environment of another interpreter."""
    for candidate in ([python.path, "-m", "pip"], ["pip3"], ["pip"], [sys.executable, "-m", "pip"]):
        if machine.which(candidate[0]):
            answer = machine.ask([*candidate, "--version"])
            version = re.match(r"pip (\d+)\.(\d+)", answer.output) if answer.status == 0 else None
            if version and (int(version[1]), int(version[2])) >= OLDEST_PIP:
                return candidate
    return None


def ways(machine: Machine, venv: Path, extras: Sequence[str]) -> Iterator[Way]:
    """Every way that this machine offers, best first. Looks for the next one only when asked for it."""
    inside = str(venv / "bin" / "python")
    what = ["-c", "constraints.txt", "-e", target(extras)]
    python = find_python(machine)
    uv = machine.which("uv")
    if uv:
        # Without an interpreter of its own accord, uv may find or fetch one.
        chosen = python.path if python else f">={OLDEST[0]}.{OLDEST[1]}"
        make = [uv, "venv", "--quiet", "--clear", "--python", chosen, str(venv)]
        yield Way("uv", make, [uv, "pip", "install", "--python", inside, *what], may_fall_through=True)
    if python is None:
        return
    make = [python.path, "-m", "venv", "--clear"]
    yield Way("venv", [*make, str(venv)], [inside, "-m", "pip", "install", *what], may_fall_through=False)
    pip = find_pip(machine, python)
    if pip:
        fill = [*pip, "--python", inside, "install", *what]
        yield Way("venv without pip", [*make, "--without-pip", str(venv)], fill, may_fall_through=False)


def target(extras: Sequence[str]) -> str:
    """The project with its extras, as pip writes it."""
    return f".[{','.join(extras)}]" if extras else "."


# --- the stamp ---


def fingerprint(root: Path) -> str:
    """Changes when what is to be installed changes, or when the folder moved (an editable install knows its path)."""
    digest = hashlib.sha256(str(root).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update(b"\0" + (root / name).read_bytes())
    return digest.hexdigest()


def read_stamp(venv: Path) -> dict[str, object]:
    """What an earlier call installed; empty unless its interpreter is still there."""
    try:
        stamp = json.loads((venv / "bootstrap.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    alive = os.access(str(venv / "bin" / "python"), os.X_OK)
    return stamp if alive and isinstance(stamp, dict) else {}


def is_ready(stamp: Mapping[str, object], key: str, extras: Sequence[str]) -> bool:
    """Whether everything asked for is installed already."""
    installed = stamp.get("extras")
    return stamp.get("fingerprint") == key and isinstance(installed, list) and set(extras) <= set(installed)


# --- the work ---


def set_up(machine: Machine, root: Path, extras: Sequence[str]) -> None:
    """Make .venv hold Holdfast with ``extras`` and its dashboard. Does nothing when it does already."""
    venv, key = root / ".venv", fingerprint(root)
    stamp = read_stamp(venv)
    if is_ready(stamp, key, extras):
        if dashboard.is_due(root, os.environ):
            rebuild_dashboard(machine, venv, stamp)
        return
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and any(venv.iterdir()):
        raise SetupFailed(f"{venv} exists and is no virtual environment.\nMove it away and try again.")
    installed = stamp.get("extras")
    wanted = sorted({*extras, *(installed if isinstance(installed, list) else ())})
    started = time.monotonic()
    way = install(machine, venv, wanted)
    content = {"fingerprint": key, "extras": wanted, "way": way.name}
    (venv / "bootstrap.json").write_text(json.dumps(content), encoding="utf-8")
    say(f"ready in {time.monotonic() - started:.0f} s")


def rebuild_dashboard(machine: Machine, venv: Path, stamp: Mapping[str, object]) -> None:
    """Install Holdfast again, without what it depends on: its build hook makes the pages, and brings Node for it."""
    say(f"building the dashboard, because {dashboard.SOURCES}/ has changed ({dashboard.SKIP}=1 leaves it as it is)")
    # Only the program that filled the environment is sure to be able to fill it again (uv leaves no pip inside).
    same = next((way for way in ways(machine, venv, ()) if way.name == stamp.get("way")), None)
    if same is None:
        raise SetupFailed(f"{stamp.get('way')} made {venv}, but is gone.\nRemove {venv} and try again.")
    done = machine.work([*same.fill, "--no-deps"])
    if done.status != 0:
        raise SetupFailed(f"The dashboard could not be built:\n{tail(done.output)}")


def install(machine: Machine, venv: Path, extras: Sequence[str]) -> Way:
    """Try way after way; the one that worked."""
    complaint = ""
    for way in ways(machine, venv, extras):
        say(f"making {venv.name} with {way.name}")
        made = machine.work(way.make)
        if made.status != 0:
            complaint = f"{way.name} could not make the environment:\n{tail(made.output)}"
            say(f"that did not work ({first_line(made.output)})")
            continue
        say(f"installing {target(extras)}, a minute or so the first time")
        filled = machine.work(way.fill)
        # An exit status alone is not believed: a setting of pip's may have sent the packages elsewhere.
        if filled.status == 0 and machine.ask([str(venv / "bin" / "python"), "-c", "import holdfast"]).status == 0:
            return way
        complaint = f"{way.name} could not install the packages:\n{tail(filled.output)}"
        if not way.may_fall_through:
            raise SetupFailed(complaint)
        say("that did not work; trying without it")
    raise SetupFailed(advice(machine, complaint))


def advice(machine: Machine, complaint: str) -> str:
    """What to do when no way is left."""
    if find_python(machine) is None:
        wanted = f"Holdfast needs Python {OLDEST[0]}.{OLDEST[1]} or newer, and none runs here."
    else:
        wanted = "Python is here, but neither its venv nor a pip (22.3 or newer) nor uv could make an environment."
    return (
        f"{complaint}\n" if complaint else ""
    ) + f"{wanted}\nOn Debian 12 and newer, or Ubuntu 24.04 and newer: apt-get install {DEBIAN_PACKAGES}"


def first_line(text: str) -> str:
    """The first line with something on it."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "no message")


def tail(text: str, lines: int = 30) -> str:
    """The end of a long output, indented."""
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """One setup at a time: two terminals may both begin with `make`. The lock is on a file that always exists."""
    with (root / "pyproject.toml").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another setup is under way; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: Sequence[str], venv: Path) -> NoReturn:
    """Become the command, inside the environment and in the project's folder."""
    environment = dict(os.environ, VIRTUAL_ENV=str(venv))
    environment["PATH"] = os.pathsep.join([str(venv / "bin"), os.environ.get("PATH", os.defpath)])
    environment.pop("PYTHONHOME", None)
    os.chdir(str(venv.parent))
    try:
        os.execvpe(command[0], list(command), environment)  # noqa: S606  (a list, no shell)
    except OSError as error:
        raise SetupFailed(f"{command[0]} cannot be run: {error.strerror}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the script."""
    parser = argparse.ArgumentParser(
        description="Set up .venv if needed, then run a command in it.",
        usage="bootstrap.py [--extras NAMES] [--] [COMMAND ...]",
    )
    parser.add_argument("--extras", default="dev", help="extras of pyproject.toml, comma-separated (default: dev)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run inside the environment")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        with alone(ROOT):
            set_up(Machine(), ROOT, [name for name in options.extras.split(",") if name])
        if command:
            run(command, ROOT / ".venv")
    except SetupFailed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
