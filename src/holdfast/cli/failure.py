"""``holdfast failure``: what goes wrong, in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeAlias

import typer
from rich.table import Table
from rich.text import Text

from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.job_screen import show_counts, show_jobs
from holdfast.cli.operation import start_in_background
from holdfast.cli.options import AsJson, DatabaseUrl, InBackground, Yes, help_of
from holdfast.cli.screen import ago, number, plain, screen, table
from holdfast.cli.whoever import who
from holdfast.jobs import FailureGroup, FailureState, JobFilter, JobInfo

failures = typer.Typer(
    name="failure", no_args_is_help=True, help="List, show, mark, retry: jobs that failed for good, by what it was."
)

_STYLES = {"new": "bold red", "regressed": "bold red", "seen": "yellow", "resolved": "green"}
_BARS = " ▁▂▃▄▅▆▇█"
_JOBS_SHOWN = 10
_Fingerprint: TypeAlias = Annotated[str, typer.Argument(metavar="FINGERPRINT", help="as failure list shows it")]


@failures.command(
    name="list",
    help=help_of(
        "Groups of failures, the last to fail first.",
        "holdfast failure list",
        "holdfast failure list --queue mail --json | jq -r '.[] | select(.state == \"new\").fingerprint'",
        more="One group: one task, one type of error, raised in one function of the application.",
    ),
)
def list_failures(
    queue: Annotated[str | None, typer.Option(help="only failures in this queue")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="so many at most")] = 20,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List groups of failures."""

    async def work(app: Holdfast) -> Sequence[FailureGroup]:
        return await app.failures.list(queues=None if queue is None else [queue], limit=limit)

    found = on_application(database_url, work)
    if as_json:
        screen.json(list(found))
    elif found:
        screen.out.print(_table(found))
    else:
        screen.say("no failures: no job has failed for good, or no worker has counted it yet")


@failures.command(help=help_of("One group, and the newest jobs in it.", "holdfast failure show 5f1a3c9be2d40718"))
def show(fingerprint: _Fingerprint, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show a group of failures."""

    async def work(app: Holdfast) -> tuple[FailureGroup, Sequence[JobInfo]]:
        group = await app.failures.show(fingerprint)
        found = await app.jobs.search(JobFilter.parse(f"failure={fingerprint}"), limit=_JOBS_SHOWN)
        return group, await app.jobs.show_many([match.id for match in found.jobs])

    group, jobs = on_application(database_url, work)
    if as_json:
        screen.json({**plain(group), "jobs": list(jobs)})
        return
    screen.out.print(_page(group))
    if jobs:
        show_jobs(jobs, more=False)
        screen.say(f"run them again: holdfast failure retry {fingerprint}")
    else:
        screen.say("no job of it stands failed now: they were retried, or are gone")


@failures.command(
    help=help_of(
        "Say that a group was seen, is resolved, or is new again. A resolved one that fails again has regressed.",
        "holdfast failure mark 5f1a3c9be2d40718 resolved --note 'released 1.2'",
    )
)
def mark(
    fingerprint: _Fingerprint,
    state: Annotated[str, typer.Argument(metavar="STATE", help="seen, resolved or new")],
    note: Annotated[str | None, typer.Option(help="shown with the group")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Mark a group of failures."""
    doing = Act("failure.mark", "failure", [fingerprint], after={"state": state, "note": note})
    group = act(database_url, doing, lambda rooms: rooms.failures.mark(fingerprint, state, note=note, by=who()))
    if as_json:
        screen.json(group)
    else:
        screen.say(f"{fingerprint} is {group.state}")


@failures.command(
    help=help_of(
        "Run every failed job of a group again.",
        "holdfast failure retry 5f1a3c9be2d40718",
        "holdfast failure retry 5f1a3c9be2d40718 --in-background --yes",
    )
)
def retry(
    fingerprint: _Fingerprint,
    in_background: InBackground = False,
    yes: Yes = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Retry a group of failures."""
    text = f"failure={fingerprint}"
    on_application(database_url, lambda app: app.failures.show(fingerprint))
    if in_background:
        start_in_background("retry", text, reason=None, yes=yes, database_url=database_url, as_json=as_json)
        return
    doing = Act("job.retry", "filter", [text])

    async def work(rooms: Rooms) -> Mapping[str, int]:
        doing.after = counts = dict(await rooms.jobs.where(text).redrive())
        return counts

    show_counts(act(database_url, doing, work, apart=True), as_json=as_json)


def _table(found: Sequence[FailureGroup]) -> Table:
    lines = table("STATE", "JOBS", "24 HOURS", "LAST", "TASK", "ERROR", "WHERE", "FINGERPRINT", right=("JOBS",))
    for group in found:
        lines.add_row(
            _state(group.state),
            number(group.failures),
            _bars(group.buckets),
            ago(group.last_at),
            Text(group.task),
            Text(group.error_type),
            Text(group.frame or ""),
            group.fingerprint,
        )
    return lines


def _page(group: FailureGroup) -> Table:
    page = table("", "")
    page.show_header = False
    marked = f"{ago(group.marked_at)} by {group.marked_by or 'somebody'}" if group.marked_at else ""
    for name, value in {
        "failure": group.fingerprint,
        "state": _state(group.state),
        "marked": marked,
        "note": group.note,
        "task": group.task,
        "queues": ", ".join(group.queues),
        "error": f"{group.error_type}: {group.message}",
        "raised in": group.frame,
        "failures": number(group.failures),
        "first": ago(group.first_at),
        "last": ago(group.last_at),
        "24 hours": _bars(group.buckets),
    }.items():
        if value not in (None, ""):
            page.add_row(Text(name, style="bold"), value if isinstance(value, Text) else Text(str(value)))
    return page


def _state(state: FailureState) -> Text:
    return Text(state, style=_STYLES[state])


def _bars(buckets: Sequence[int]) -> str:
    """Hours as bars, the highest for the most; a single failure can be seen."""
    most = max(buckets, default=0)
    return "".join(_BARS[0 if count == 0 else max(1, round(8 * count / most))] for count in buckets)
