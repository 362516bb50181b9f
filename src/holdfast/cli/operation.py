"""``holdfast operation``: verbs on everything that a filter finds, done by workers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, TypeAlias, Unpack

import typer
from rich.table import Table
from rich.text import Text

from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.screen import ago, number, screen, span, table
from holdfast.cli.watching import watch as follow
from holdfast.cli.whoever import who
from holdfast.errors import ConfigurationError
from holdfast.jobs import OperationInfo, OperationPreview, VerbOptions

operations = typer.Typer(
    name="operation",
    no_args_is_help=True,
    help="List, show, wait, cancel: what `holdfast job VERB --filter … --in-background` has started.",
)

_FAILED = 1
_STYLES = {"running": "cyan", "finished": "green", "cancelled": "dim", "failed": "bold red"}
_NUMBERS = ("DONE", "OF", "SKIPPED", "FAILED")
_Id: TypeAlias = Annotated[int, typer.Argument(metavar="ID", help="id of the operation")]


@operations.command(
    name="list",
    help=help_of("The newest operations first.", "holdfast operation list", "holdfast operation list --json"),
)
def list_operations(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="so many at most")] = 20,
    before: Annotated[int | None, typer.Option(metavar="ID", help="go on before this id")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List operations."""

    async def work(app: Holdfast) -> Sequence[OperationInfo]:
        return await app.operations.list(before=before, limit=limit)

    found = on_application(database_url, work)
    if as_json:
        screen.json(list(found))
    elif found:
        screen.out.print(_table(found))
    else:
        screen.say("no operations: holdfast job VERB --filter … --in-background starts one")


@operations.command(
    help=help_of("How far an operation is.", "holdfast operation show 17", "holdfast operation show 17 --watch")
)
def show(
    operation: _Id,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="every second, until Ctrl-C")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one operation."""

    async def work(app: Holdfast) -> OperationInfo:
        return await app.operations.show(operation)

    if watch:
        follow(database_url, work, _page)
        return
    info = on_application(database_url, work)
    if as_json:
        screen.json(info)
    else:
        screen.out.print(_page(info))


@operations.command(
    help=help_of(
        "Wait for the end of an operation. Exit status: 0 everything moved, 1 not, 6 not in time.",
        "holdfast operation wait 17 --timeout 600",
    )
)
def wait(
    operation: _Id,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="give up after so long")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Wait for an operation."""

    async def work(app: Holdfast) -> OperationInfo:
        return await app.operations.wait(operation, timeout_seconds=timeout)

    info = on_application(database_url, work)
    if as_json:
        screen.json(info)
    else:
        screen.out.print(_page(info))
    if info.state != "finished" or info.failed:
        raise typer.Exit(_FAILED)


@operations.command(
    help=help_of("End an operation between two batches; what it has moved stays moved.", "holdfast operation cancel 17")
)
def cancel(operation: _Id, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Cancel an operation."""
    doing = Act("operation.cancel", "operation", [str(operation)])
    info = act(database_url, doing, lambda rooms: rooms.operations.cancel(operation, by=who()))
    if as_json:
        screen.json(info)
    else:
        screen.say(f"operation {operation} is cancelled; it has moved {number(info.moved)} jobs")


def start_in_background(
    verb: str,
    text: str,
    *,
    reason: str | None,
    yes: bool,
    database_url: str | None,
    as_json: bool,
    **options: Unpack[VerbOptions],
) -> None:
    """Show what a verb would move, ask, and let workers do it."""
    preview = on_application(
        database_url, lambda app: app.operations.preview(verb, text, reason=reason, by=who(), **options)
    )
    if not yes:
        _ask(preview)

    doing = Act("operation.start", "operation", reason=reason, after={"verb": verb, "filter": text})

    async def begin(rooms: Rooms) -> tuple[OperationInfo, bool]:
        info = await rooms.operations.start(preview.token, by=who())
        doing.names = [str(info.id)]
        return info, any(worker["state"] == "live" for worker in await rooms.queues.workers())

    info, somebody_works = act(database_url, doing, begin)
    if as_json:
        screen.json(info)
        return
    screen.say(f"operation {info.id} has started: holdfast operation show {info.id} --watch")
    if not somebody_works:
        screen.say("no worker is live: it goes on as soon as one is")


def _ask(preview: OperationPreview) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(
            f"{preview.verb} by filter may move many jobs", remedy="look with --preview first, then say --yes"
        )
    for warning in preview.warnings:
        screen.say(warning)
    told = f"{'' if preview.is_exact else 'at least '}{number(preview.jobs)} jobs"
    typer.confirm(f"{preview.verb.capitalize()} {told}?", abort=True, err=True)


def _table(found: Sequence[OperationInfo]) -> Table:
    lines = table("ID", "VERB", "FILTER", "STATE", *_NUMBERS, "WHEN", "BY", right=_NUMBERS)
    for info in found:
        lines.add_row(
            str(info.id),
            info.verb,
            Text(info.filter or "(all)"),
            Text(info.state, style=_STYLES[info.state]),
            number(info.moved),
            f"{number(info.planned)}{'' if info.planned_is_exact else '+'}",
            number(info.skipped),
            Text(number(info.failed), style="red" if info.failed else ""),
            ago(info.finished_at or info.started_at),
            Text(info.requested_by or ""),
        )
    return lines


def _page(info: OperationInfo) -> Table:
    page = table("", "")
    page.show_header = False
    planned = f"{number(info.planned)}{'' if info.planned_is_exact else ' or more'}"
    for name, value in {
        "operation": str(info.id),
        "verb": info.verb,
        "filter": info.filter or "(all)",
        "state": Text(info.state, style=_STYLES[info.state]),
        "moved": f"{number(info.moved)} of {planned}",
        "skipped": number(info.skipped) if info.skipped else None,
        "failed": Text(number(info.failed), style="red") if info.failed else None,
        "trouble": info.trouble,
        "rate": None if info.rate is None else f"{number(round(info.rate))} jobs/s",
        "left": None if info.eta_seconds is None else f"about {span(info.eta_seconds)}",
        "started": ago(info.started_at),
        "ended": ago(info.finished_at),
        "by": info.requested_by,
        "reason": info.reason,
        "ended by": info.ended_by,
    }.items():
        if value not in (None, ""):
            page.add_row(Text(name, style="bold"), value if isinstance(value, Text) else Text(str(value)))
    return page
