"""``holdfast schedule``: when jobs come by themselves."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, TypeAlias
from zoneinfo import ZoneInfo

import typer

from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, Yes, help_of
from holdfast.cli.schedule_screen import (
    as_data,
    moment,
    show_coming,
    show_occurrences,
    show_schedule,
    show_schedules,
    show_steps,
)
from holdfast.cli.screen import number, screen
from holdfast.errors import ConfigurationError
from holdfast.schedules import BackfillStep, Occurrence, ScheduleInfo

schedules = typer.Typer(
    name="schedule", no_args_is_help=True, help="List, show, next, trigger, pause, resume, edit, backfill."
)

_SKIPPED = 3
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="name of the schedule")]


@schedules.command(name="list", help=help_of("Every schedule: when, next, last.", "holdfast schedule list"))
def list_schedules(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List schedules."""

    async def work(app: Holdfast) -> Sequence[ScheduleInfo]:
        return await app.schedules.list()

    found = on_application(database_url, work)
    if as_json:
        screen.json([as_data(one) for one in found])
    elif found:
        show_schedules(found)
    else:
        screen.say("no schedules: a worker of an application that has some declares them when it starts")


@schedules.command(
    help=help_of(
        "Everything about one schedule, and what became of its latest occurrences.",
        "holdfast schedule show morning_report",
        "holdfast schedule show morning_report --limit 100 --json",
    )
)
def show(
    name: Name,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="so many occurrences at most")] = 10,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one schedule."""

    async def work(app: Holdfast) -> tuple[ScheduleInfo, Sequence[Occurrence], Sequence[datetime]]:
        info = await app.schedules.show(name)
        latest = await app.schedules.occurrences(name, limit=limit) if limit else []
        return info, latest, await app.schedules.next(name, 3)

    info, latest, coming = on_application(database_url, work)
    if as_json:
        screen.json({**as_data(info), "occurrences": latest, "next": coming})
    else:
        show_schedule(info, latest, coming)


@schedules.command(
    name="next",
    help=help_of(
        "The coming occurrences, of one schedule or of all.",
        "holdfast schedule next",
        "holdfast schedule next morning_report --count 20",
        more="Without their jitter. A paused schedule has none.",
    ),
)
def next_occurrences(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="default: all schedules")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="so many of each")] = 5,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Say what comes next."""

    async def work(app: Holdfast) -> list[tuple[str, str, datetime]]:
        infos = await app.schedules.list() if name is None else [await app.schedules.show(name)]
        coming = [(one, at) for one in infos for at in await app.schedules.next(one.name, count)]
        return sorted(((one.name, one.plan.timezone, at) for one, at in coming), key=lambda found: found[2])

    coming = on_application(database_url, work)
    if as_json:
        screen.json([{"schedule": schedule, "timezone": zone, "at": at} for schedule, zone, at in coming])
    elif coming:
        show_coming(coming)
    else:
        screen.say("nothing comes: there is no schedule, or all are paused or withdrawn")


@schedules.command(
    help=help_of(
        "Enqueue its job now, whatever the timetable, a pause and the probe say. Exit status 3 if overlap forbids it.",
        "holdfast schedule trigger morning_report",
        "holdfast schedule trigger morning_report --force --reason 'figures were wrong'",
    )
)
def trigger(
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="also while a job of it has not ended")] = False,
    reason: Annotated[str | None, typer.Option(help="kept with the occurrence")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Trigger a schedule."""
    doing = Act("schedule.trigger", "schedule", [name], reason)

    async def work(rooms: Rooms) -> Occurrence:
        made = await rooms.schedules.trigger(name, force=force, reason=reason)
        doing.after = {"state": made.state, "job": None if made.job_id is None else str(made.job_id)}
        return made

    made = act(database_url, doing, work)
    if as_json:
        screen.json(made)
    elif made.job_id is not None:
        screen.say(f"schedule {name} was triggered")
        screen.write(str(made.job_id))
    elif made.state == "waiting":
        screen.say(f"schedule {name} waits for the job before it to end, then its job is enqueued")
    else:
        screen.say(f"nothing was enqueued: {made.detail} (--force starts it all the same)")
    if made.state == "skipped":
        raise typer.Exit(_SKIPPED)


@schedules.command(
    help=help_of(
        "Nothing of it is due from now on; jobs that exist run on.",
        "holdfast schedule pause morning_report --reason 'source is moving'",
    )
)
def pause(
    name: Name,
    reason: Annotated[str | None, typer.Option(help="shown wherever the schedule is")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Pause a schedule."""
    changed = act(
        database_url,
        Act("schedule.pause", "schedule", [name], reason),
        lambda rooms: rooms.schedules.pause(name, reason=reason),
    )
    _answer(name, "paused", "was paused already", changed=changed, as_json=as_json)


@schedules.command(
    help=help_of(
        "Due again from the next occurrence on.",
        "holdfast schedule resume morning_report",
        more="The occurrences of the pause are recorded as skipped; `holdfast schedule backfill` makes up for them.",
    )
)
def resume(name: Name, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Resume a schedule."""
    changed = act(database_url, Act("schedule.resume", "schedule", [name]), lambda rooms: rooms.schedules.resume(name))
    _answer(name, "resumed", "was not paused", changed=changed, as_json=as_json)


@schedules.command(
    help=help_of(
        "Change a schedule over what the code declares, until it is reset.",
        "holdfast schedule edit morning_report cron='0 8 * * mon-fri' overlap=queue",
        "holdfast schedule edit morning_report --reset",
        more="cron, every_seconds, timezone, jitter_seconds, misfire, misfire_limit, grace_seconds, overlap, queue, "
        "priority, args. A value that is JSON is taken as such, any other as text.",
    )
)
def edit(
    name: Name,
    values: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="what changes")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="take every edit back")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Edit a schedule."""
    changes = dict(_change(value) for value in values or [])
    if bool(changes) == reset:
        raise ConfigurationError("nothing to change", remedy="write KEY=VALUE, or --reset")

    doing = Act("schedule.reset" if reset else "schedule.edit", "schedule", [name], after=changes or None)

    async def work(rooms: Rooms) -> ScheduleInfo:
        return await rooms.schedules.reset(name) if reset else await rooms.schedules.edit(name, **changes)

    info = act(database_url, doing, work)
    if as_json:
        screen.json(as_data(info))
    else:
        following = "" if info.next_at is None else f", next {moment(info.next_at, info.plan.timezone)}"
        screen.say(f"schedule {name}: {info.words}{following}")


@schedules.command(
    help=help_of(
        "Jobs for past occurrences that have none. Shows what it would do, and asks.",
        "holdfast schedule backfill daily_figures --since 2026-11-01 --until 2026-11-07 --preview",
        "holdfast schedule backfill daily_figures --since 2026-11-01 --until 2026-11-07T12:00 --yes",
        more="Moments without an offset are on the wall clock of the schedule's zone; a day is its midnight. They run "
        "one after the other unless the schedule allows overlap. May be repeated: who has a job gets no other.",
    )
)
def backfill(
    name: Name,
    since: Annotated[str, typer.Option(metavar="MOMENT", help="the first moment, included")],
    until: Annotated[str, typer.Option(metavar="MOMENT", help="the last moment, included")],
    preview: Annotated[bool, typer.Option("--preview", help="only show what it would do")] = False,
    yes: Yes = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Backfill a schedule."""

    async def look(app: Holdfast) -> tuple[str, datetime, datetime, list[BackfillStep]]:
        zone = (await app.schedules.show(name)).plan.timezone
        first, last = _moment(since, zone), _moment(until, zone)
        return zone, first, last, await app.schedules.preview_backfill(name, first, last)

    zone, first, last, steps = on_application(database_url, look)
    count = sum(step.runs for step in steps)
    if preview or not count:
        _show_preview(steps, zone, count, as_json=as_json)
        return
    if not yes:
        _show_preview(steps, zone, count, as_json=False)
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigurationError(f"{count} jobs would be enqueued", remedy="say --yes, or --preview to look only")
        typer.confirm(f"Enqueue {count} jobs?", abort=True, err=True)
    span = {"since": first.isoformat(), "until": last.isoformat(), "jobs": count}
    doing = Act("schedule.backfill", "schedule", [name], after=span)
    made = act(database_url, doing, lambda rooms: rooms.schedules.backfill(name, first, last))
    if as_json:
        screen.json(made)
    else:
        show_occurrences(made, zone)


def _show_preview(steps: Sequence[BackfillStep], zone: str, count: int, *, as_json: bool) -> None:
    if as_json:
        screen.json([{"at": step.at, "job_id": step.job_id, "runs": step.runs} for step in steps])
        return
    if steps:
        show_steps(steps, zone)
    screen.say(
        f"{number(count)} of {number(len(steps))} occurrences have no job" if steps else "no occurrence lies there"
    )


def _answer(name: str, done: str, already: str, *, changed: bool, as_json: bool) -> None:
    """Both verbs may be repeated: what was so already is no failure."""
    if as_json:
        screen.json({"schedule": name, "state": done, "changed": changed})
    else:
        screen.say(f"schedule {name} {f'is {done}' if changed else already}")


def _moment(text: str, zone: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no moment", remedy="write 2026-11-01, 2026-11-01T07:00 or 2026-11-01T07:00+01:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))


def _change(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"{text!r} names no key", remedy="write KEY=VALUE, for example overlap=queue")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
