"""The commands of the program: what each promises, and where it stands.

A command is loaded when it is called, by its name. All of them together take longer than most take to answer.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_group


class Entry(NamedTuple):
    """A line of ``holdfast --help``, and the module of this room that has the command."""

    promise: str
    module: str
    typer: str = "commands"


COMMANDS: Final[Mapping[str, Entry]] = {
    "up": Entry(
        "Bring up the database (the embedded one when no URL is set), its schema, a worker of APP, and the dashboard.",
        "start",
    ),
    "down": Entry("End the project's embedded server.", "start"),
    "worker": Entry("Run jobs until told to stop.", "worker"),
    "api": Entry("Serve the HTTP API and the dashboard, without a worker.", "api"),
    "status": Entry("How it stands, on one screen, the verdict first. Exit status 5 unless it is OK.", "status"),
    "metrics": Entry("Everything as Prometheus reads it, once; /metrics of the API serves the same.", "metrics"),
    "version": Entry("The versions of Holdfast and Python.", "version"),
    "job": Entry("Enqueue, list, show, why, logs, wait, and every verb that moves jobs.", "job", "jobs"),
    "failure": Entry("List, show, mark, retry: jobs that failed for good, by what it was.", "failure", "failures"),
    "operation": Entry(
        "List, show, wait, cancel: what `holdfast job VERB --filter … --in-background` has started.",
        "operation",
        "operations",
    ),
    "batch": Entry("List, show, wait, cancel: jobs with one end.", "batch", "batches"),
    "queue": Entry("List, pause, resume.", "queue", "queues"),
    "schedule": Entry("List, show, next, trigger, pause, resume, edit, backfill.", "schedule", "schedules"),
    "event": Entry("Append, read, tail, status, adopt.", "event", "events"),
    "projection": Entry(
        "List, lag, health, pause, resume, reset, rebuild, switch, roll back, park, unpark, run.",
        "projection",
        "projections",
    ),
    "limit": Entry("List, set, reset.", "limit", "limits"),
    "token": Entry("Create, list, revoke: who may use the API.", "token", "tokens"),
    "audit": Entry("Who did what, and who was refused.", "audit", "audit"),
    "db": Entry("Migrate, look, wait, validate, prune.", "db", "schema"),
}


class Commands(TyperGroup):
    """The program as typer runs it, with commands that are loaded when they are asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"commands": None})
        self.commands: Any = _Loaded()

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """The list in ``holdfast --help``, for which no command is loaded."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.promise) for name, entry in COMMANDS.items()])


class _Loaded(Mapping[str, Any]):
    """Every command by its name."""

    def __getitem__(self, name: str) -> Any:
        return _load(COMMANDS[name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


@cache
def _load(entry: Entry) -> Mapping[str, Any]:
    module = importlib.import_module(f"holdfast.cli.{entry.module}")
    around = typer.Typer(rich_markup_mode=None)
    around.add_typer(getattr(module, entry.typer))
    return get_group(around).commands
