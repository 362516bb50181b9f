"""What only one module may do: read time (clock), read the environment (settings), name an event (telemetry)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from holdfast.telemetry import EVENTS
from tests.architecture.source import Source, sources

_TIMES = {
    *(f"time.{name}{suffix}" for name in ("time", "monotonic", "perf_counter") for suffix in ("", "_ns")),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
}
_LOOKUPS = {"os.getenv", "os.environ.get", "os.environ.setdefault", "os.environ.pop"}
_PROCESS_VARIABLES = {"'PATH'", "'PYTHONPATH'"}


def time_read(source: Source) -> list[str]:
    """Uses of a clock of Python's. asyncio's loop may keep its own time."""
    if source.room == "clock":
        return []
    found = [(node.lineno, dotted(node)) for node in ast.walk(source.tree) if isinstance(node, ast.Attribute)]
    return [
        source.at(line, f"reads {name}; ask holdfast.clock")
        for line, name in [*found, *imported_from(source, "time")]
        if name in _TIMES
    ]


def environment_read(source: Source) -> list[str]:
    """Variables looked up by name, but for those that a child process needs to be found and to find its modules."""
    if source.room == "settings":
        return []
    looked_up = ((getattr(node, "lineno", 0), variable_of(node)) for node in ast.walk(source.tree))
    imported = ((line, name) for line, name in imported_from(source, "os") if name in {"os.getenv", "os.environ"})
    return [
        source.at(line, f"looks up {name} in the environment; settings do that and hand values down")
        for line, name in [*looked_up, *imported]
        if name and name not in _PROCESS_VARIABLES
    ]


def variable_of(node: ast.AST) -> str | None:
    """The X of ``os.environ["X"]``, ``os.environ.get("X")``, ``"X" in os.environ``, ``os.getenv("X")``."""
    match node:
        case ast.Subscript(value=ast.Attribute() as mapping, slice=key) if dotted(mapping) == "os.environ":
            return ast.unparse(key)
        case ast.Compare(left=key, comparators=[ast.Attribute() as mapping]) if dotted(mapping) == "os.environ":
            return ast.unparse(key)
        case ast.Call(func=ast.Attribute() as function, args=[key, *_]) if dotted(function) in _LOOKUPS:
            return ast.unparse(key)
        case _:
            return None


def unknown_events(source: Source) -> list[str]:
    """``emit`` with a name that is not in the table, or that is not written out."""
    return [
        source.at(call.lineno, "emits an event that the table in telemetry.py does not have")
        for call in ast.walk(source.tree)
        if isinstance(call, ast.Call) and dotted(call.func) in {"emit", "telemetry.emit"}
        if not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value in EVENTS)
    ]


def dotted(node: ast.expr) -> str:
    """``time.monotonic`` for that expression; empty for anything that is no path of names."""
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return node.id if isinstance(node, ast.Name) else ""


def imported_from(source: Source, module: str) -> Iterator[tuple[int, str]]:
    """Names taken out of a module, as ``from time import monotonic``."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def test_only_the_clock_reads_time() -> None:
    assert [problem for source in sources("src") for problem in time_read(source)] == []


def test_only_settings_read_the_environment() -> None:
    assert [problem for source in sources("src") for problem in environment_read(source)] == []


def test_every_emitted_event_is_in_the_table() -> None:
    assert [problem for source in sources("src") for problem in unknown_events(source)] == []


@pytest.mark.parametrize(
    "line",
    ["time.monotonic()", "start = time.perf_counter_ns", "datetime.now(UTC)", "from time import monotonic"],
)
def test_reading_time_elsewhere_is_seen(line: str) -> None:
    assert time_read(Source("src/holdfast/jobs/claim.py", line))
    assert not time_read(Source("src/holdfast/clock.py", line))


@pytest.mark.parametrize(
    "line",
    ['os.environ["X"]', 'os.environ.get("X")', '"X" in os.environ', 'os.getenv("X")', "from os import environ"],
)
def test_reading_the_environment_elsewhere_is_seen(line: str) -> None:
    assert environment_read(Source("src/holdfast/jobs/claim.py", line))
    assert not environment_read(Source("src/holdfast/settings.py", line))


@pytest.mark.parametrize(
    "line",
    [
        "Popen(command, env={name: value for name, value in os.environ.items() if name != 'PGHOST'})",
        "Popen(command, env={**os.environ, 'PYTHONPATH': os.environ.get('PYTHONPATH', '')})",
    ],
)
def test_handing_the_environment_to_a_child_is_allowed(line: str) -> None:
    assert not environment_read(Source("src/holdfast/db/embedded.py", line))


@pytest.mark.parametrize("line", ['emit("worker.exploded")', "telemetry.emit(name, a=1)", "emit()"])
def test_an_event_outside_the_table_is_seen(line: str) -> None:
    assert unknown_events(Source("src/holdfast/worker/process.py", line))
    assert not unknown_events(Source("src/holdfast/worker/process.py", 'telemetry.emit("worker.started", worker=1)'))
