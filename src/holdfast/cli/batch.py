"""``holdfast batch``: jobs with one end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeAlias

import typer
from rich.text import Text

from holdfast.app import Holdfast
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.screen import ago, number, screen, table
from holdfast.jobs import BatchInfo

batches = typer.Typer(name="batch", no_args_is_help=True, help="List, show, wait, cancel: jobs with one end.")

_FAILED = 1
_STYLES = {"running": "cyan", "completed": "green", "failed": "bold red", "cancelled": "dim"}
_Id: TypeAlias = Annotated[int, typer.Argument(metavar="ID", help="id of the batch")]


@batches.command(
    name="list",
    help=help_of("The newest batches first.", "holdfast batch list --unfinished", "holdfast batch list --json"),
)
def list_batches(
    unfinished: Annotated[bool, typer.Option("--unfinished", help="only those of which something is open")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="so many at most")] = 50,
    before: Annotated[int | None, typer.Option(metavar="ID", help="go on before this id")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List batches."""

    async def work(app: Holdfast) -> Sequence[BatchInfo]:
        return await app.batches.list(unfinished=unfinished, before=before, limit=limit)

    found = on_application(database_url, work)
    if as_json:
        screen.json(list(found))
        return
    if not found:
        screen.say("no batches")
        return
    lines = table("ID", "NAME", "STATE", "OPEN", "OF", "FAILED", "WHEN", right=("OPEN", "OF", "FAILED"))
    for info in found:
        lines.add_row(
            str(info.id),
            info.name or "",
            Text(info.state, style=_STYLES[info.state]),
            number(info.open),
            number(info.members),
            number(info.failed),
            ago(info.finished_at or info.created_at),
        )
    screen.out.print(lines)


@batches.command(help=help_of("How far a batch is.", "holdfast batch show 384698642308531200"))
def show(batch_id: _Id, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show one batch."""

    async def work(app: Holdfast) -> BatchInfo:
        return await app.batches.show(batch_id)

    _show(on_application(database_url, work), as_json=as_json)


@batches.command(
    help=help_of(
        "Wait for the end of a batch. Exit status: 0 all completed, 1 not all, 6 not in time.",
        "holdfast batch wait 384698642308531200 --timeout 600",
    )
)
def wait(
    batch_id: _Id,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="give up after so long")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Wait for a batch."""

    async def work(app: Holdfast) -> BatchInfo:
        return await app.batches.wait(batch_id, timeout_seconds=timeout)

    info = on_application(database_url, work)
    _show(info, as_json=as_json)
    if info.state != "completed":
        raise typer.Exit(_FAILED)


@batches.command(
    help=help_of(
        "Cancel a batch with its members and what they opened; nobody is called back.",
        "holdfast batch cancel 384698642308531200 --reason 'wrong month'",
    )
)
def cancel(
    batch_id: _Id,
    reason: Annotated[str | None, typer.Option(help="kept with the batch and its jobs")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Cancel a batch."""
    doing = Act("batch.cancel", "batch", [str(batch_id)], reason)
    changed = act(database_url, doing, lambda rooms: rooms.batches.cancel(batch_id, reason=reason))
    if as_json:
        screen.json({"id": batch_id, "state": "cancelled", "changed": changed})
    else:
        screen.say(f"batch {batch_id} is cancelled" if changed else f"batch {batch_id} was cancelled already")


def _show(info: BatchInfo, *, as_json: bool) -> None:
    if as_json:
        screen.json(info)
        return
    page = table("", "")
    page.show_header = False
    for name, value in {
        "batch": str(info.id),
        "name": info.name,
        "state": Text(info.state, style=_STYLES[info.state]),
        "members": number(info.members),
        "open": number(info.open),
        "completed": number(info.completed),
        "failed": number(info.failed),
        "cancelled": number(info.cancelled),
        "parent job": info.parent_job,
        "created": ago(info.created_at),
        "ended": ago(info.finished_at),
        "callbacks": ", ".join(map(str, info.callbacks)),
        "cancelled because": info.cancel_reason,
    }.items():
        if value not in (None, ""):
            page.add_row(Text(name, style="bold"), value if isinstance(value, Text) else Text(str(value)))
    screen.out.print(page)
