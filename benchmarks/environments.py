"""An environment of its own for every system: installed by us from pinned packages, kept until the pins change."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
ENVIRONMENTS = HERE / ".environments"
# Tried in this order: the peers publish wheels for these, and one of them needs at least 3.12.
PREFERRED = ((3, 12), (3, 13))
_QUESTION = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
_VERSION = "import sys; print(*sys.version_info[:3], sep='.')"


class EnvironmentFailed(Exception):
    """A system could not be installed; the others go on."""


@dataclass(frozen=True)
class Interpreter:
    """A Python to make environments with; the same for all systems, so that none has the faster one."""

    path: Path
    version: str

    @property
    def minor(self) -> tuple[int, int]:
        """As (3, 12)."""
        major, minor, *_ = self.version.split(".")
        return int(major), int(minor)


def find_interpreter(asked: str | None = None) -> Interpreter:
    """The given one, or the first of the preferred versions on this machine, or the one that runs us."""
    if asked:
        return _interpreter(Path(asked)) or _fail(f"{asked} is no Python")
    for version in PREFERRED:
        for candidate in _candidates(version):
            found = _interpreter(candidate)
            if found and found.minor == version:
                return found
    return _interpreter(Path(sys.executable)) or _fail("no Python found")


def _candidates(version: tuple[int, int]) -> Iterator[Path]:
    name = f"python{version[0]}.{version[1]}"
    if sys.version_info[:2] == version:
        yield Path(sys.executable)
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version[0]}.{version[1]}.*/bin/python"))


def _interpreter(path: Path) -> Interpreter | None:
    try:
        answer = subprocess.run([path, "-c", _VERSION], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return Interpreter(path, answer.stdout.strip())


def _fail(message: str) -> Interpreter:
    raise EnvironmentFailed(message)


def ensure(name: str, interpreter: Interpreter) -> Path:
    """The environment's Python; made or renewed when its pins or the interpreter have changed."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    arguments = _requirements(name)
    mark = folder / "pins.sha256"
    fingerprint = _fingerprint(arguments, interpreter)
    if python.exists() and mark.exists() and mark.read_text() == fingerprint:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    ENVIRONMENTS.mkdir(exist_ok=True)
    uv = _uv()
    if uv:
        _run([uv, "venv", "--quiet", "--python", str(interpreter.path), str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), *arguments])
    else:
        _run([str(interpreter.path), "-m", "venv", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *arguments])
    mark.write_text(fingerprint)
    return python


def installed_version(python: Path, package: str) -> str:
    """What the environment really holds."""
    answer = subprocess.run([python, "-c", _QUESTION, package], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def _requirements(name: str) -> list[str]:
    if name == "holdfast":
        return ["--constraint", str(ROOT / "constraints.txt"), "--editable", f"{ROOT}[embedded,fast]"]
    return ["--requirement", str(HERE / "requirements" / f"{name}.txt")]


def _fingerprint(arguments: list[str], interpreter: Interpreter) -> str:
    content = [
        interpreter.version.encode(),
        (ROOT / "pyproject.toml").read_bytes() if "--editable" in arguments else b"",
    ]
    content += [Path(argument).read_bytes() for argument in arguments if argument.endswith(".txt")]
    return hashlib.sha256(b"\0".join(content)).hexdigest()


def _uv() -> str | None:
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise EnvironmentFailed(f"{Path(command[0]).name} {command[1]} failed:\n{tail}")
