"""``holdfast db activity``, ``cancel`` and ``terminate``: who is at the database, and ending one of them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from holdfast.app import Holdfast
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.screen import number, screen, span, table
from holdfast.observe import Inspected, Inspection

_Pid = Annotated[int, typer.Argument(metavar="PID", help="process id of the session, as `activity` shows it")]


def add_sessions(group: typer.Typer) -> None:
    """The commands, in the group ``db``."""
    group.command(
        name="activity",
        help=help_of(
            "Who is at the database: open transactions, waits for locks, what keeps dead rows, the largest tables.",
            "holdfast db activity",
            "holdfast db activity --json | jq '.backends[] | select(.holds_log)'",
        ),
    )(activity)
    group.command(
        name="cancel",
        help=help_of("Stop the statement that a session runs; its transaction fails.", "holdfast db cancel 4711"),
    )(cancel)
    group.command(
        name="terminate",
        help=help_of("End a session; what it had open is rolled back.", "holdfast db terminate 4711"),
    )(terminate)


def activity(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Look at sessions and tables."""

    async def work(app: Holdfast) -> Inspected:
        return await Inspection(app.database).look()

    found = on_application(database_url, work)
    if as_json:
        screen.json(found)
    else:
        _show(found)


def cancel(pid: _Pid, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Stop a statement."""
    _end(pid, "cancel", "asked to stop its statement", database_url, as_json=as_json)


def terminate(pid: _Pid, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """End a session."""
    _end(pid, "terminate", "ended", database_url, as_json=as_json)


def _end(pid: int, how: Any, told: str, database_url: str | None, *, as_json: bool) -> None:
    doing = Act(f"database.{how}", "backend", [str(pid)])
    was = act(database_url, doing, lambda rooms: Inspection(rooms.database).end(pid, how))
    if as_json:
        screen.json({**was, "done": how})
    else:
        screen.say(f"session {pid} ({was['application']}, {was['state'] or 'state unknown'}) was {told}")


def _show(found: Inspected) -> None:
    server = found.server
    screen.write(
        f"PostgreSQL {server.version}, {_size(server.bytes)}, "
        f"{number(server.connections)} of {number(server.allowed_connections)} connections"
    )
    waits = {wait.pid: wait for wait in found.waits}
    if found.backends:
        lines = table("PID", "APPLICATION", "STATE", "OPEN", "WAITS FOR", "", "STATEMENT", right=("PID", "OPEN"))
        for one in found.backends:
            wait = waits.get(one.pid)
            lines.add_row(
                str(one.pid),
                Text(one.application),
                one.state or "hidden",
                span(one.transaction_seconds),
                Text(f"{wait.blocked_by} ({wait.what})" if wait else ""),
                Text("holds the event log" if one.holds_log else "", style="yellow"),
                Text(" ".join((one.query or "hidden").split())[:80]),
            )
        screen.write("")
        screen.out.print(lines)
    if found.horizon:
        oldest = found.horizon[0]
        screen.write(
            f"\ndead rows are kept for {oldest.kind} {oldest.name} ({oldest.detail}), "
            f"{number(oldest.age_transactions or 0)} transactions old"
        )
    sizes = table("TABLE", "SIZE", "ROWS", "DEAD", "VACUUMED", right=("SIZE", "ROWS", "DEAD"))
    for each in found.tables[:10]:
        ago = "" if each.vacuumed_seconds is None else f"{span(each.vacuumed_seconds)} ago"
        sizes.add_row(each.name, _size(each.bytes), number(each.rows_about), number(each.dead_rows), ago)
    screen.write("")
    screen.out.print(sizes)
    for blind in found.blind:
        screen.say(f"not seen: {blind}")


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
