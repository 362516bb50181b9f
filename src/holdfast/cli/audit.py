"""``holdfast audit``: what was done over HTTP and by commands, and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer
from rich.text import Text

from holdfast.access import Audit, Recorded
from holdfast.app import Holdfast
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.screen import ago, screen, table
from holdfast.clock import now
from holdfast.jobs import seconds_of

audit = typer.Typer(name="audit", no_args_is_help=True, help="Who did what, and who was refused.")

_STYLES = {"denied": "red", "failed": "yellow", "begun": "cyan"}


@audit.command(
    name="list",
    help=help_of(
        "Who did what, over HTTP and by commands, and who was refused; the newest rows first.",
        "holdfast audit list",
        "holdfast audit list --actor ada --since 2h",
        "holdfast audit list --action queue.pause --json",
    ),
)
def list_audit(
    actor: Annotated[str | None, typer.Option(metavar="NAME", help="only what this one did")] = None,
    action: Annotated[str | None, typer.Option(metavar="NOUN.VERB", help="only this: job.cancel")] = None,
    target: Annotated[str | None, typer.Option(metavar="NAME", help="only what was done to this")] = None,
    since: Annotated[str | None, typer.Option(metavar="DURATION", help="only the last so long: 2h")] = None,
    before: Annotated[int | None, typer.Option(metavar="ID", help="go on below this row")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, metavar="N", help="rows at most")] = 50,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the audit."""
    moment = None if since is None else now() - timedelta(seconds=seconds_of(since))

    async def work(app: Holdfast) -> Sequence[Recorded]:
        return await Audit(app.database).list(
            actor=actor, action=action, target=target, since=moment, before=before, limit=limit
        )

    found = on_application(database_url, work)
    if as_json:
        screen.json(found)
        return
    if not found:
        screen.say("no rows: nobody has changed anything yet, or nothing fits")
        return
    lines = table("ID", "WHEN", "WHO", "WHAT", "RESULT", "ON", "WHY", right=("ID",))
    for row in found:
        why = row.reason or row.detail or ""
        lines.add_row(
            str(row.id),
            ago(row.at),
            Text(row.actor),
            row.action,
            Text(row.result, style=_STYLES.get(row.result, "")),
            Text(" ".join(filter(None, (row.target_kind, row.target)))),
            Text(why),
        )
    screen.out.print(lines)
