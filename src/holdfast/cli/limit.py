"""``holdfast limit``: how many jobs run at once or start within a time."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from holdfast.app import Holdfast
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.screen import number, screen, table
from holdfast.jobs import LimitInfo, span

limits = typer.Typer(name="limit", no_args_is_help=True, help="List, set, reset.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the limit; rate:NAME for a rate")]
_NUMBERS = ("CAPACITY", "PER", "TAKEN", "WAITING")


@limits.command(
    name="list",
    help=help_of("Every limit and rate, with who has passed and who waits, by key.", "holdfast limit list"),
)
def list_limits(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List limits."""

    async def work(app: Holdfast) -> list[LimitInfo]:
        return await app.limits.list()

    found = on_application(database_url, work)
    if as_json:
        screen.json(found)
    elif found:
        screen.out.print(_limit_table(found))
    else:
        screen.say("no limits: no worker has declared a task with limits or a rate")


@limits.command(
    name="set",
    help=help_of(
        "Another capacity from now on; jobs that have passed go on.",
        "holdfast limit set api 20",
        "holdfast limit set rate:mail 500",
        "holdfast limit set api 0",
        more="Deploys leave it alone until `holdfast limit reset`. 0 lets nobody pass.",
    ),
)
def set_limit(
    name: _Name,
    capacity: Annotated[int, typer.Argument(metavar="N", min=0, help="how many, for each key")],
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Set a limit."""
    doing = Act("limit.set", "limit", [name], after={"capacity": capacity})
    act(database_url, doing, lambda rooms: rooms.limits.set(name, capacity))
    if as_json:
        screen.json({"limit": name, "capacity": capacity})
    else:
        screen.say(f"limit {name} is {number(capacity)}")


@limits.command(help=help_of("The capacity that the application declares.", "holdfast limit reset api"))
def reset(name: _Name, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Reset a limit."""
    act(database_url, Act("limit.reset", "limit", [name]), lambda rooms: rooms.limits.reset(name))
    if as_json:
        screen.json({"limit": name, "capacity": None})
    else:
        screen.say(f"limit {name} is as declared")


def _limit_table(found: list[LimitInfo]) -> Table:
    """A line per limit, or per key of it that is in use."""
    lines = table("LIMIT", "KEY", *_NUMBERS, "", right=_NUMBERS)
    for limit in found:
        lines.add_row(
            Text(limit.name if limit.kind == "limit" else f"rate:{limit.name}"),
            Text(limit.key or ""),
            number(limit.capacity),
            "" if limit.per_seconds is None else span(limit.per_seconds),
            number(limit.taken),
            number(limit.waiting),
            Text("" if limit.capacity == limit.declared else f"declared {limit.declared}", style="yellow"),
        )
    return lines
