"""``holdfast status``: one screen, the verdict first."""

from __future__ import annotations

import typer

from holdfast.app import Holdfast
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.queue_screen import queue_table, worker_table
from holdfast.cli.screen import number, screen, span, table
from holdfast.errors import DatabaseUnavailable
from holdfast.jobs import QueueInfo
from holdfast.observe import Sight, Status, Verdict, judge, look, unavailable

commands = typer.Typer()

_UNHEALTHY = 5
_COLORS = {Status.OK: "bold green", Status.DEGRADED: "bold yellow", Status.STALLED: "bold red"}


@commands.command(
    help=help_of(
        "How it stands, on one screen, the verdict first. Exit status 5 unless it is OK.",
        "holdfast status",
        "holdfast status --json | jq -r .verdict",
        more="OK, DEGRADED (something needs a person) or STALLED (jobs are ready and nobody works on any of them).",
    )
)
def status(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Say how it stands. Exit status 0 when all is well, 5 when it is not."""

    async def work(app: Holdfast) -> tuple[Sight, list[QueueInfo], list[dict[str, object]]]:
        return await look(app.database, timeout_seconds=10.0), await app.queues.list(), await app.queues.workers()

    try:
        sight, queues, workers = on_application(database_url, work)
    except DatabaseUnavailable as error:
        verdict = unavailable(error.message, error.remedy)
        if as_json:
            screen.json({"verdict": verdict.status, "reasons": verdict.reasons})
        else:
            _show_verdict(verdict, "")
        raise typer.Exit(_UNHEALTHY) from None
    verdict = judge(sight)
    if as_json:
        screen.json(
            {
                "verdict": verdict.status,
                "reasons": verdict.reasons,
                "queues": queues,
                "workers": workers,
                "projections": sight.projected,
                "log": sight.log,
            }
        )
    else:
        _show(verdict, sight, queues, workers)
    if verdict.status is not Status.OK:
        raise typer.Exit(_UNHEALTHY)


def _show(verdict: Verdict, sight: Sight, queues: list[QueueInfo], workers: list[dict[str, object]]) -> None:
    running, ready = sum(queue.running for queue in sight.queues), sum(queue.ready for queue in sight.queues)
    workers_live = "1 worker" if len(sight.live) == 1 else f"{len(sight.live)} workers"
    _show_verdict(verdict, f"{workers_live}, {number(running)} running, {number(ready)} ready")
    if queues:
        screen.write("")
        screen.out.print(queue_table(queues))
    worth_telling = [worker for worker in workers if worker["end_reason"] != "stopped"]
    if worth_telling:
        screen.write("")
        screen.out.print(worker_table(worth_telling))
    if sight.projected:
        screen.write("")
        _show_projections(sight)
    if sight.log.drawn:
        screen.write("")
        waits = sight.log.waiting_seconds
        behind = "" if waits is None else f", the next has waited {span(waits)}"
        screen.write(f"event log: readers see up to position {sight.log.settled} of {sight.log.drawn}{behind}")


def _show_verdict(verdict: Verdict, quiet: str) -> None:
    screen.out.print(f"[{_COLORS[verdict.status]}]{verdict.status}[/]  ", end="")
    if not verdict.reasons:
        screen.write(quiet)
    indent = " " * (len(verdict.status) + 2)
    for reason in verdict.reasons:
        screen.write(("" if reason is verdict.reasons[0] else indent) + reason.text)
        if reason.detail:
            screen.out.print(f"{indent}  {reason.detail}", highlight=False, markup=False, soft_wrap=True)
        screen.out.print(f"{indent}  {reason.remedy}", style="dim", highlight=False, markup=False, soft_wrap=True)


def _show_projections(sight: Sight) -> None:
    lines = table("PROJECTION", "STATE", "BEHIND", "OLDEST", "WORKERS", "PARKED", right=("BEHIND", "WORKERS", "PARKED"))
    for each in sight.projected:
        lines.add_row(
            each.name,
            each.state,
            number(each.lag_events or 0),
            span(each.lag_seconds),
            str(each.workers),
            number(each.parked),
        )
    screen.out.print(lines)
