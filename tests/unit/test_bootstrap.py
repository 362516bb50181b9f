"""The decisions of tools/bootstrap.py, on machines that are made up."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools import bootstrap
from tools.bootstrap import Answer, Machine, Python, SetupFailed, find_pip, find_python, set_up, ways


@dataclass
class MadeUp(Machine):
    """A machine with these programs on PATH, whose long work fails where told."""

    pythons: dict[str, str] = field(default_factory=dict)
    pips: dict[str, str] = field(default_factory=dict)
    uv: bool = False
    broken: tuple[str, ...] = ()
    misleading: bool = False
    worked: list[str] = field(default_factory=list)

    def which(self, program: str) -> str | None:
        known = {*self.pythons, *self.pips, *({"uv"} if self.uv else ())}
        return program if program in known or program.startswith("/bin/") else None

    def ask(self, command: Sequence[str]) -> Answer:
        name = command[0].removeprefix("/bin/")
        if command[-1] == "import holdfast":
            return Answer(1 if self.misleading else 0, "")
        if command[1:2] == ["-c"]:
            version = self.pythons.get(name, "shim")
            return Answer(127, "no such version") if version == "shim" else Answer(0, f"{version} /bin/{name}\n")
        version = self.pips.get(f"{name} -m pip" if "-m" in command else name, "")
        return Answer(0, f"pip {version} from somewhere") if version else Answer(1, "No module named pip")

    def work(self, command: Sequence[str]) -> Answer:
        line = " ".join(command)
        self.worked.append(line)
        if any(part in line for part in self.broken):
            return Answer(1, "it broke\nfor a reason")
        if "install" not in command:
            venv = Path(command[-1])
            shutil.rmtree(venv, ignore_errors=True)
            (venv / "bin").mkdir(parents=True)
            (venv / "pyvenv.cfg").touch()
            (venv / "bin" / "python").touch(mode=0o755)
        return Answer(0, "")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    return tmp_path


def named(machine: Machine) -> list[str]:
    return [way.name for way in ways(machine, Path(".venv"), ["dev"])]


# --- which Python ---


@pytest.mark.parametrize(
    ("pythons", "expected"),
    [
        ({"python3.11": "3 11", "python3.13": "3 13", "python3": "3 12"}, Python("/bin/python3.13", (3, 13))),
        ({"python3.13": "shim", "python3.12": "3 12"}, Python("/bin/python3.12", (3, 12))),
        ({"python3": "3 14"}, Python("/bin/python3", (3, 14))),
        ({"python3": "3 9"}, None),
        ({}, None),
    ],
    ids=["newest", "shims do not run", "newer than tested", "too old", "none"],
)
def test_the_newest_python_that_really_runs_is_taken(pythons: dict[str, str], expected: Python | None) -> None:
    assert find_python(MadeUp(pythons=pythons), running="absent") == expected


def test_the_running_python_is_the_last_resort() -> None:
    machine = MadeUp(pythons={"own": "3 11"})

    assert find_python(machine, running="own") == Python("/bin/own", (3, 11))


def test_the_real_machine_has_the_python_that_runs_this() -> None:
    found = find_python(Machine())

    assert found is not None
    assert found.version >= bootstrap.OLDEST


# --- which way ---


def test_ways_are_tried_from_the_fastest_to_the_last_resort() -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"}, uv=True, pips={"pip3": "23.0"})

    assert named(machine) == ["uv", "venv", "venv without pip"]


def test_a_pip_that_is_too_old_is_no_way() -> None:
    python = Python("/bin/python3.11", (3, 11))

    assert find_pip(MadeUp(pips={"pip3": "22.2"}), python) is None
    assert find_pip(MadeUp(pips={"pip3": "22.2", "pip": "22.3"}), python) == ["pip"]
    assert find_pip(MadeUp(pips={"python3.11 -m pip": "23.0"}), python) == ["/bin/python3.11", "-m", "pip"]


def test_uv_may_find_a_python_by_itself() -> None:
    (way,) = ways(MadeUp(uv=True), Path(".venv"), ["dev"])

    assert way.make[-3:] == ["--python", ">=3.11", ".venv"]


def test_every_way_is_constrained_and_stays_inside() -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"}, uv=True, pips={"pip3": "23.0"})

    for way in ways(machine, Path(".venv"), ["atlas", "dev"]):
        assert way.fill[-4:] == ["-c", "constraints.txt", "-e", ".[atlas,dev]"]
        assert ".venv/bin/python" in way.fill
        assert way.make[-1] == ".venv"


def test_no_extras_are_no_brackets() -> None:
    assert bootstrap.target([]) == "."


# --- what happens ---


def test_what_is_ready_is_not_touched_again(root: Path) -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"})
    set_up(machine, root, ["dev"])
    before = len(machine.worked)

    set_up(machine, root, ["dev"])

    assert before == 2
    assert len(machine.worked) == before


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".venv/bin/python"])
def test_it_is_made_anew_when_something_changed(root: Path, name: str) -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"})
    set_up(machine, root, ["dev"])
    (root / name).unlink()
    if not name.startswith(".venv"):
        (root / name).write_text("changed", encoding="utf-8")

    set_up(machine, root, ["dev"])

    assert len(machine.worked) == 4


def test_a_changed_dashboard_is_built_into_the_same_environment(root: Path) -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"}, uv=True)
    set_up(machine, root, ["dev"])
    (root / "web").mkdir()
    (root / "web" / "package.json").write_text("{}", encoding="utf-8")

    set_up(machine, root, ["dev"])

    assert machine.worked[2:] == [f"uv pip install --python {root}/.venv/bin/python -c constraints.txt -e . --no-deps"]


def test_a_dashboard_that_cannot_be_built_shows_why(root: Path) -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"})
    set_up(machine, root, ["dev"])
    (root / "web").mkdir()
    (root / "web" / "package.json").write_text("{}", encoding="utf-8")
    machine.broken = ("--no-deps",)

    with pytest.raises(SetupFailed, match="could not be built:\n.*\n.*for a reason"):
        set_up(machine, root, ["dev"])


def test_extras_add_up(root: Path) -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"})
    set_up(machine, root, ["atlas"])

    set_up(machine, root, ["dev"])

    assert machine.worked[-1].endswith(".[atlas,dev]")
    assert json.loads((root / ".venv" / "bootstrap.json").read_text())["extras"] == ["atlas", "dev"]


@pytest.mark.parametrize(
    ("broken", "way"),
    [
        ((), "uv"),
        (("uv venv",), "venv"),
        (("uv pip",), "venv"),
        (("uv ", "venv --clear /"), "venv without pip"),
    ],
    ids=["uv works", "uv makes nothing", "uv finds no index", "no ensurepip (Debian without python3-venv)"],
)
def test_the_next_way_is_tried_when_one_fails(root: Path, broken: tuple[str, ...], way: str) -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"}, uv=True, pips={"pip3": "23.0"}, broken=broken)

    set_up(machine, root, ["dev"])

    assert json.loads((root / ".venv" / "bootstrap.json").read_text())["way"] == way


def test_a_failed_installation_shows_the_end_of_what_was_said(root: Path) -> None:
    machine = MadeUp(pythons={"python3.11": "3 11"}, broken=("install",))

    with pytest.raises(SetupFailed, match="for a reason"):
        set_up(machine, root, ["dev"])
    assert not (root / ".venv" / "bootstrap.json").exists()


def test_packages_that_went_elsewhere_are_missed(root: Path) -> None:
    with pytest.raises(SetupFailed, match="could not install"):
        set_up(MadeUp(pythons={"python3.11": "3 11"}, misleading=True), root, ["dev"])


@pytest.mark.parametrize(
    ("pythons", "advice"),
    [({}, "needs Python 3.11 or newer, and none runs here"), ({"python3.11": "3 11"}, "neither its venv nor a pip")],
    ids=["no python", "python alone"],
)
def test_when_no_way_is_left_the_debian_package_is_named(root: Path, pythons: dict[str, str], advice: str) -> None:
    with pytest.raises(SetupFailed, match=advice) as failed:
        set_up(MadeUp(pythons=pythons, broken=("venv",)), root, ["dev"])

    assert "apt-get install python3 python3-venv" in str(failed.value)


def test_a_folder_of_somebody_else_is_left_alone(root: Path) -> None:
    (root / ".venv").mkdir()
    (root / ".venv" / "diary.txt").write_text("dear", encoding="utf-8")

    with pytest.raises(SetupFailed, match="no virtual environment"):
        set_up(MadeUp(pythons={"python3.11": "3 11"}), root, ["dev"])

    assert (root / ".venv" / "diary.txt").exists()


def test_real_programs_are_asked_and_put_to_work(capfd: pytest.CaptureFixture[str]) -> None:
    machine = Machine()

    assert machine.ask([sys.executable, "-c", "print(1)"]) == Answer(0, "1\n")
    assert machine.work([sys.executable, "-c", "import sys; print(2); sys.exit(3)"]) == Answer(3, "2\n")
    assert machine.ask(["/absent"]).status == machine.work(["/absent"]).status == 127
    assert capfd.readouterr().out == ""
