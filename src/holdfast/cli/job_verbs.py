"""``holdfast job cancel``, ``redrive``, ``purge`` …: verbs on some jobs, or on all that a filter finds."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from holdfast.app import Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.job_screen import ids_only, show_counts, show_preview
from holdfast.cli.locate import load_application
from holdfast.cli.named_values import named_values
from holdfast.cli.operation import start_in_background
from holdfast.cli.options import (
    AppPath,
    AsJson,
    DatabaseUrl,
    InBackground,
    Look,
    ManyIds,
    OneJobId,
    Where,
    Yes,
    help_of,
)
from holdfast.cli.screen import screen
from holdfast.errors import ConfigurationError
from holdfast.jobs import Preview, Selection, Verb

_NOT_ALL = 3
_ACTIONS = {verb: f"job.{'priority' if verb is Verb.PRIORITIZE else verb}" for verb in Verb}
"""As the audit calls them, whoever does it."""
_GOOD = ("cancelled", "requested", "moved", "purged")

OnIds = Callable[[Rooms, list[int]], Awaitable[Mapping[int, str]]]
OnSelection = Callable[[Selection], Awaitable[Mapping[str, int]]]


def cancel(
    job_ids: ManyIds = None,
    where: Where = None,
    reason: Annotated[str | None, typer.Option(help="kept with the job")] = None,
    preview: Look = False,
    yes: Yes = False,
    in_background: InBackground = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Cancel jobs."""
    if in_background and not preview:
        _begin("cancel", job_ids, where, reason=reason, yes=yes, database_url=database_url, as_json=as_json)
        return
    _move(
        Verb.CANCEL,
        job_ids,
        where,
        lambda rooms, ids: rooms.jobs.cancel(*ids, reason=reason),
        lambda selection: selection.cancel(reason=reason),
        reason=reason,
        preview=preview,
        yes=yes,
        database_url=database_url,
        as_json=as_json,
    )


def redrive(
    where: Where = None,
    cancelled: Annotated[bool, typer.Option("--cancelled", help="cancelled jobs as well")] = False,
    preview: Look = False,
    yes: Yes = False,
    in_background: InBackground = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run dead letters again."""
    if where is None:
        raise ConfigurationError(
            "redrive takes a filter", remedy="say which: --filter 'task=send_mail', or --filter 'state=failed' for all"
        )
    text = f"{where} state={'failed,cancelled' if cancelled else 'failed'}"
    if preview:
        _preview(text, Verb.RETRY, database_url, as_json=as_json)
        return
    if in_background:
        _begin("retry", None, text, yes=yes, database_url=database_url, as_json=as_json)
        return
    counts = _all(Verb.RETRY, text, lambda found: found.redrive(cancelled=cancelled), database_url)
    show_counts(counts, as_json=as_json)


def dead(where: Where = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show the dead letters."""
    _preview(f"{where or ''} state=failed", None, database_url, as_json=as_json)


def reschedule(
    job_ids: ManyIds = None,
    where: Where = None,
    run_in: Annotated[str | None, typer.Option("--in", metavar="DURATION", help="90s, 10m, 1h30m, 2d; 0s: now")] = None,
    run_at: Annotated[datetime | None, typer.Option("--at", metavar="TIME", help="2026-12-01T07:00:00, UTC")] = None,
    preview: Look = False,
    yes: Yes = False,
    in_background: InBackground = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Run waiting jobs at another time."""
    when: dict[str, Any] = {"run_in": run_in, "run_at": None if run_at is None else _in_utc(run_at)}
    if in_background and not preview:
        _begin("reschedule", job_ids, where, yes=yes, database_url=database_url, as_json=as_json, **when)
        return
    _move(
        Verb.RESCHEDULE,
        job_ids,
        where,
        lambda rooms, ids: rooms.jobs.reschedule(*ids, **when),
        lambda selection: selection.reschedule(**when),
        preview=preview,
        yes=True,
        database_url=database_url,
        as_json=as_json,
    )


def priority(
    job_ids: ManyIds = None,
    where: Where = None,
    to: Annotated[int, typer.Option("--to", min=0, max=9, help="0 runs first, 9 last")] = 5,
    preview: Look = False,
    yes: Yes = False,
    in_background: InBackground = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Change the priority of waiting jobs."""
    if in_background and not preview:
        _begin("priority", job_ids, where, yes=yes, database_url=database_url, as_json=as_json, priority=to)
        return
    _move(
        Verb.PRIORITIZE,
        job_ids,
        where,
        lambda rooms, ids: rooms.jobs.prioritize(*ids, priority=to),
        lambda selection: selection.prioritize(to),
        preview=preview,
        yes=True,
        database_url=database_url,
        as_json=as_json,
    )


def purge(
    job_ids: ManyIds = None,
    where: Where = None,
    preview: Look = False,
    yes: Yes = False,
    in_background: InBackground = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Delete jobs."""
    if in_background and not preview:
        _begin("purge", job_ids, where, yes=yes, database_url=database_url, as_json=as_json)
        return
    _move(
        Verb.PURGE,
        job_ids,
        where,
        lambda rooms, ids: rooms.jobs.purge(*ids),
        lambda selection: selection.purge(),
        preview=preview,
        yes=yes,
        database_url=database_url,
        as_json=as_json,
    )


def edit(
    job_id: OneJobId,
    values: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="what changes")] = None,
    args: Annotated[str | None, typer.Option(metavar="JSON", help="all arguments, instead of those it has")] = None,
    reason: Annotated[str | None, typer.Option(help="kept in its history")] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="do not check against the task's signature")] = False,
    app: AppPath = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Correct the arguments of a job."""
    wanted = named_values(args, values or [], option="--args")
    if not wanted:
        raise ConfigurationError("nothing is to be changed", remedy="name what changes: user_id=42, or --args JSON")
    application = load_application(app) if app else None
    replace = args is not None

    async def work(rooms: Rooms) -> None:
        await rooms.jobs.edit(job_id, wanted, replace=replace, reason=reason, unchecked=unchecked)

    doing = Act("job.edit", "job", [str(job_id)], reason, after={"args": wanted})
    act(database_url, doing, work, application)
    screen.say(f"job {job_id} has other arguments now; those before stand in its history")


def add_verbs(jobs: typer.Typer) -> None:
    """Put the commands into the group."""
    for command, text in _HELP.items():
        jobs.command(help=text)(command)


_HELP: dict[Callable[..., None], str] = {
    cancel: help_of(
        "Cancel jobs: those that wait at once, those that run are asked to stop.",
        "holdfast job cancel 382365332372717569 --reason 'stuck on provider'",
        "holdfast job cancel --filter 'queue=mail state=ready' --preview",
    ),
    dead: help_of(
        "Dead letters: jobs that have failed for good, by task and type of error.",
        "holdfast job dead",
        "holdfast job dead --filter 'queue=mail ended<1d'",
    ),
    redrive: help_of(
        "Run dead letters again: every failed job that a filter finds.",
        "holdfast job redrive --filter 'task=send_welcome error=SMTPError ended<2h' --preview",
        "holdfast job redrive --filter 'task=send_welcome error=SMTPError ended<2h'",
    ),
    reschedule: help_of(
        "Run waiting jobs at another time.",
        "holdfast job reschedule 382365332372717569 --in 2h",
        "holdfast job reschedule --filter 'queue=exports state=ready' --at 2026-12-01T03:00:00",
    ),
    priority: help_of(
        "Change the priority of waiting jobs; each goes to the end of its new priority.",
        "holdfast job priority 382365332372717569 --to 0",
        "holdfast job priority --filter 'queue=mail task=newsletter' --to 9",
    ),
    edit: help_of(
        "Correct the arguments of a job that waits, has failed or was cancelled.",
        "holdfast job edit 382365332372717569 user_id=43 --app shop.tasks --reason 'typo in the import'",
        more="With --app the arguments are checked against the task's signature; without it say --unchecked.",
    ),
    purge: help_of(
        "Delete jobs that do not run, with everything about them. Look first.",
        "holdfast job purge --filter 'queue=mail state=failed age>7d' --preview",
        "holdfast job purge --filter 'queue=mail state=failed age>7d' --yes",
        more="Finished jobs go by themselves after retention_days; this is for what must go now.",
    ),
}


def _move(
    verb: Verb,
    job_ids: list[int] | None,
    where: str | None,
    on_ids: OnIds,
    on_selection: OnSelection,
    *,
    preview: bool,
    yes: bool,
    database_url: str | None,
    as_json: bool,
    reason: str | None = None,
) -> None:
    if bool(job_ids) == (where is not None):
        raise ConfigurationError(f"{verb} takes ids or a filter", remedy="name ids, or say --filter 'queue=mail …'")
    if job_ids:
        ids = job_ids
        answers = _each(verb, ids, on_ids, database_url, reason)
        ids_only(answers, as_json=as_json, good=_GOOD)
        if any(answers.get(job_id) not in _GOOD for job_id in ids):
            raise typer.Exit(_NOT_ALL)
        return
    text = where or ""
    if preview:
        _preview(text, verb, database_url, as_json=as_json)
        return
    if not yes:
        _ask(verb, text, database_url)
    show_counts(_all(verb, text, on_selection, database_url, reason), as_json=as_json)


def _begin(verb: str, job_ids: list[int] | None, where: str | None, *, reason: str | None = None, **how: Any) -> None:
    if job_ids or where is None:
        raise ConfigurationError(
            f"in the background {verb} takes a filter, not ids",
            remedy="say --filter 'queue=mail …', or --filter '' for all",
        )
    start_in_background(verb, where, reason=reason, **how)


def _ask(verb: Verb, text: str, database_url: str | None) -> None:
    """Many jobs at once, and no way back: shown first, and asked."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(
            f"{verb} by filter may move many jobs", remedy="look with --preview first, then say --yes"
        )
    found = _preview(text, verb, database_url, as_json=False)
    typer.confirm(
        f"{verb.capitalize()} {'' if found.is_exact else 'at least '}{found.jobs} jobs?", abort=True, err=True
    )


def _preview(text: str, verb: Verb | None, database_url: str | None, *, as_json: bool) -> Preview:
    found = on_application(database_url, lambda app: app.jobs.where(text).preview(verb))
    show_preview(found, as_json=as_json)
    return found


def _each(verb: Verb, ids: list[int], on_ids: OnIds, database_url: str | None, reason: str | None) -> Mapping[int, str]:
    """The verb on these jobs, in one transaction; the audit has a row for each."""
    doing = Act(_ACTIONS[verb], "job", [str(job_id) for job_id in ids], reason)

    async def work(rooms: Rooms) -> Mapping[int, str]:
        answers = await on_ids(rooms, ids)
        told = {job_id: answers.get(job_id, "not_found") for job_id in ids}
        doing.refused = {str(job_id): answer for job_id, answer in told.items() if answer not in _GOOD}
        return answers

    return act(database_url, doing, work)


def _all(
    verb: Verb, text: str, on_selection: OnSelection, database_url: str | None, reason: str | None = None
) -> Mapping[str, int]:
    """The verb on all that a filter finds, some hundreds a transaction."""
    doing = Act(_ACTIONS[verb], "filter", [text], reason)

    async def work(rooms: Rooms) -> Mapping[str, int]:
        doing.after = counts = dict(await on_selection(rooms.jobs.where(text)))
        return counts

    return act(database_url, doing, work, apart=True)


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
