"""What a process loads before it does anything: every command, worker and supervisor pays for it, each time it starts.

Nothing is decided by time here. What is not loaded takes none.
"""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

import holdfast
from tests.architecture.source import ROOT, Source, sources

_AFTERWARDS = "\nimport sys; print(*sys.modules, file=sys.stderr)"
# Of packages that Holdfast or its extras depend on; the standard library does not count.
_SERVER = {"fastapi", "starlette", "uvicorn", "limits", "jwt", "prometheus_client", "httpx", "redis"}
_INTEGRATIONS = {"sqlalchemy", "django", "flask", "psycopg", "psycopg2", "boto3", "distributed", "dask", "uvloop"}
_SCREEN = {"typer", "click", "rich", "pygments"}
_AT_THE_EDGE = {"api", "contrib", "testing"}
_ENGINE = {"asyncpg", "pydantic", "pydantic_core", "msgspec", "cronsim", "asyncio", "ssl"}


def loaded_by(source: str) -> set[str]:
    """The modules that a fresh interpreter has after this."""
    command = [sys.executable, "-I", "-c", source + _AFTERWARDS]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stderr.split())


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def rooms(modules: set[str]) -> set[str]:
    return {module.split(".")[1] for module in modules if module.startswith("holdfast.")}


def test_the_package_alone_loads_nothing() -> None:
    loaded = loaded_by("import holdfast")

    assert rooms(loaded) == set()
    assert not packages(loaded) & (_SERVER | _INTEGRATIONS | _SCREEN | _ENGINE)


def test_an_application_loads_the_engine_and_no_screen_or_server() -> None:
    loaded = loaded_by("from holdfast import Holdfast")

    assert not packages(loaded) & (_SERVER | _INTEGRATIONS | _SCREEN)
    assert not rooms(loaded) & {"api", "cli", "contrib", "testing"}


def test_help_loads_no_command_and_no_engine() -> None:
    loaded = loaded_by("from holdfast.cli import main; assert main(['--help']) == 0")

    assert rooms(loaded) == {"cli", "telemetry"}
    assert not packages(loaded) & (_SERVER | _INTEGRATIONS | _ENGINE | {"rich"})


def test_a_command_loads_neither_its_neighbours_nor_the_server_of_the_pages() -> None:
    loaded = loaded_by("from holdfast.cli import main; assert main(['job', 'list', '--help']) == 0")

    assert not packages(loaded) & (_SERVER | _INTEGRATIONS)
    assert not loaded & {
        f"holdfast.cli.{other}" for other in ("worker", "schedule", "projection", "event", "db", "api")
    }


def dataclasses_without_need(source: Source) -> list[str]:
    """A record is a msgspec Struct. A dataclass writes and compiles its methods each time a process starts.

    It may be one for what a Struct cannot do: keep a field out of ``repr``, or out of comparisons.
    """
    if source.room in _AT_THE_EDGE:
        return []
    return [
        source.at(node.lineno, f"declares a dataclass; write class {node.name}(Struct, frozen=True)")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
        and not any(isinstance(inner, ast.keyword) and inner.arg in {"repr", "compare"} for inner in ast.walk(node))
    ]


def test_records_are_structs() -> None:
    assert [problem for source in sources("src") for problem in dataclasses_without_need(source)] == []


def test_a_dataclass_without_need_is_seen() -> None:
    plain = "@dataclass(frozen=True, slots=True)\nclass Limits:\n    silence_seconds: float = 60.0"
    secret = "@dataclass(frozen=True)\nclass Address:\n    url: str = field(repr=False)"

    assert dataclasses_without_need(Source("src/holdfast/leases/limits.py", plain))
    assert not dataclasses_without_need(Source("src/holdfast/api/frame/values.py", plain))
    assert not dataclasses_without_need(Source("src/holdfast/db/embedded/address.py", secret))


def test_what_the_door_loads_later_is_what_it_offers() -> None:
    """The imports that type checkers see, the list that Python reads, and ``__all__`` name the same."""
    tree = ast.parse((ROOT / "src/holdfast/__init__.py").read_text())
    seen = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("holdfast.")
        for alias in node.names
    }

    assert seen == {(f"holdfast.{room}", name) for room, names in holdfast._OFFERED.items() for name in names}
    assert {name for _, name in seen} == set(holdfast.__all__) == set(dir(holdfast))
    for module, name in seen:
        assert getattr(holdfast, name) is getattr(sys.modules[module], name)


def test_a_name_that_the_door_does_not_offer_is_said() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Holdfest'"):
        _ = holdfast.Holdfest  # type: ignore[attr-defined]
