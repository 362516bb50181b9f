"""``holdfast job``: what people do to jobs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, do
from holdfast.cli.connection import on_application
from holdfast.cli.job_screen import ids_only, show_job, show_jobs, show_log_line
from holdfast.cli.locate import load_application
from holdfast.cli.named_values import named_values
from holdfast.cli.options import AppPath, AsJson, DatabaseUrl, JobIds, OneJobId, Where, help_of
from holdfast.cli.screen import screen
from holdfast.errors import HoldfastError
from holdfast.jobs import JobInfo, Place, Why

jobs = typer.Typer(
    name="job", no_args_is_help=True, help="Enqueue, list, show, why, logs, wait, and every verb that moves jobs."
)

_NOT_FOUND = 3
_FAILED = 1


@jobs.command(
    help=help_of(
        "Put a job into the queue and print its id.",
        "holdfast job enqueue send_welcome user_id=42",
        'holdfast job enqueue report --args \'{"month": "2026-10"}\' --queue exports --run-in 10m',
        "holdfast job enqueue report month=2026-10 --app shop.tasks --wait",
        more="A value that is JSON is taken as such (42, true, null, [1, 2]), any other as text. With --app the "
        "arguments are checked against the task's signature; without it a worker must have declared the task, or "
        "--queue be given.",
    )
)
def enqueue(
    task: Annotated[str, typer.Argument(metavar="TASK", help="name of the task")],
    values: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="arguments by name")] = None,
    args: Annotated[str | None, typer.Option(metavar="JSON", help="arguments as a JSON object")] = None,
    queue: Annotated[str | None, typer.Option(help="default: the task's own")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 runs first, 9 last")] = None,
    run_in: Annotated[str | None, typer.Option(metavar="DURATION", help="run later: 90s, 10m, 1h30m, 2d")] = None,
    unique: Annotated[str | None, typer.Option(metavar="KEY", help="nothing is inserted while a job holds it")] = None,
    lane: Annotated[str | None, typer.Option(metavar="KEY", help="one of a lane runs at a time, in order")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="wait for its end; exit status 1 if it fails")] = False,
    app: AppPath = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Put a job into the queue."""
    arguments = named_values(args, values or [], option="--args")
    application = load_application(app) if app else None
    options = {"queue": queue, "priority": priority, "run_in": run_in, "unique": unique, "lane": lane}

    doing = Act("job.enqueue", "job", after={"task": task, "queue": queue, "args": arguments})

    async def put(rooms: Rooms) -> int:
        if application is not None:
            async with rooms.database.connection() as connection:
                request = application.find_task(task).options(**options).using(connection)  # type: ignore[arg-type]
                job_id: int = await request.enqueue(**arguments)
        else:
            job_id = await rooms.jobs.enqueue_by_name(task, arguments, **options)  # type: ignore[arg-type]
        doing.names = [str(job_id)]
        return job_id

    async def work(opened: Holdfast) -> tuple[int, JobInfo | None]:
        job_id = await do(opened, doing, put)
        if application is not None and getattr(job_id, "existing", False):
            screen.say(f"job {job_id} holds the key {unique!r} already; nothing was inserted")
        return job_id, await opened.jobs.wait(job_id) if wait else None

    job_id, info = on_application(database_url, work, application)
    if info is not None:
        _print_end(info, as_json=as_json)
    elif as_json:
        screen.json({"id": job_id})
    else:
        screen.write(str(job_id))


@jobs.command(
    name="list",
    help=help_of(
        "The newest jobs first.",
        "holdfast job list --state failed",
        "holdfast job list --queue mail --task send_welcome --limit 20 --json",
        "holdfast job list --filter 'error~timeout age>1h args.user_id=42'",
        more=f"States: {', '.join(Place)}.",
    ),
)
def list_jobs(
    state: Annotated[str | None, typer.Option(help="only jobs in this state")] = None,
    queue: Annotated[str | None, typer.Option(help="only jobs of this queue")] = None,
    task: Annotated[str | None, typer.Option(help="only jobs of this task")] = None,
    where: Where = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="so many at most")] = 50,
    before: Annotated[int | None, typer.Option(metavar="ID", help="go on before this id")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List jobs."""

    async def work(app: Holdfast) -> list[JobInfo]:
        return list(await app.jobs.list(state=state, queue=queue, task=task, where=where, before=before, limit=limit))

    found = on_application(database_url, work)
    if as_json:
        screen.json(found)
    else:
        show_jobs(found, more=len(found) == limit)


@jobs.command(help=help_of("Everything about one job.", "holdfast job show 382365332372717569"))
def show(job_id: OneJobId, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show one job."""

    async def work(app: Holdfast) -> tuple[JobInfo, list[dict[str, Any]]]:
        return await app.jobs.show(job_id), await app.jobs.history(job_id)

    info, history = on_application(database_url, work)
    show_job(info, history, as_json=as_json)


@jobs.command(
    help=help_of(
        "Why a job does not run: what the claim looks at, and who holds it.",
        "holdfast job why 81234",
        "holdfast job why 81234 --json | jq '.reasons[0].code'",
        more="It only reads, and takes no lock.",
    )
)
def why(job_id: OneJobId, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Say why a job does not run."""

    async def work(app: Holdfast) -> Why:
        return await app.jobs.why(job_id)

    answer = on_application(database_url, work)
    if as_json:
        screen.json(answer.as_dict())
        return
    screen.write(answer.text)
    for remedy in dict.fromkeys(reason.remedy for reason in answer.reasons if reason.remedy):
        screen.say(f"  remedy: {remedy}")


@jobs.command(
    help=help_of(
        "What a job has logged, all its attempts.",
        "holdfast job logs 382365332372717569",
        "holdfast job logs 382365332372717569 --follow",
        "holdfast job logs 382365332372717569 --json | jq -r 'select(.level == \"error\").message'",
        more="With --json a line is an object on a line of its own. Lines are kept for the setting job_log_days.",
    )
)
def logs(
    job_id: OneJobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the job has ended")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="so many lines at most, without --follow")] = 10_000,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show the log of a job."""

    async def work(app: Holdfast) -> None:
        if not follow:
            for line in await app.jobs.logs(job_id, limit=limit):
                show_log_line(line, as_json=as_json)
            return
        async for line in app.jobs.follow_logs(job_id):
            show_log_line(line, as_json=as_json)

    on_application(database_url, work)


@jobs.command(
    help=help_of(
        "Run failed or cancelled jobs again, scheduled ones now.",
        "holdfast job retry 382365332372717569",
        more="Many at once, by filter: holdfast job redrive.",
    )
)
def retry(job_ids: JobIds, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Retry jobs."""

    def retrying(job_id: int) -> Callable[[Rooms], Awaitable[None]]:
        return lambda rooms: rooms.jobs.retry(job_id)

    async def work(app: Holdfast) -> dict[int, str]:
        answers = {}
        for job_id in job_ids:
            try:
                await do(app, Act("job.retry", "job", [str(job_id)]), retrying(job_id))
                answers[job_id] = "ready"
            except HoldfastError as error:
                answers[job_id] = error.code
                screen.error(error.message, error.remedy)
        return answers

    answers = on_application(database_url, work)
    ids_only(answers, as_json=as_json, good=("ready",))
    if any(answer != "ready" for answer in answers.values()):
        raise typer.Exit(_NOT_FOUND)


@jobs.command(
    help=help_of(
        "Wait for the end of a job. Exit status: 0 completed, 1 failed or cancelled, 6 not in time.",
        "holdfast job wait 382365332372717569 --timeout 60",
    )
)
def wait(
    job_id: OneJobId,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="give up after so long")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Wait for a job."""

    async def work(app: Holdfast) -> JobInfo:
        return await app.jobs.wait(job_id, timeout_seconds=timeout)

    _print_end(on_application(database_url, work), as_json=as_json)


def _print_end(info: JobInfo, *, as_json: bool) -> None:
    if as_json:
        screen.json(info)
    elif info.state == Place.COMPLETED:
        screen.say(f"job {info.id} completed")
        if info.result is not None:
            screen.write(json.dumps(info.result, default=str))
    else:
        error = info.error or {}
        screen.say(f"job {info.id} {info.state}: {error.get('type', '')} {error.get('message', '')}".rstrip(": "))
    if info.state != Place.COMPLETED:
        raise typer.Exit(_FAILED)
