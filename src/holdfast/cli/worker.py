"""``holdfast worker``: a supervisor, and under it the process that runs jobs."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import replace

from holdfast.app import Holdfast, limits_of
from holdfast.cli.drain import INTERRUPTED, Drain, DrainOrder, first_turn
from holdfast.cli.first_worker import FirstWorker, describe, start_first
from holdfast.cli.locate import load_application
from holdfast.cli.options import AppPath, AsJson, Concurrency, DatabaseUrl, Processes, Queues, help_of
from holdfast.cli.worker_process import Duty, run_worker_process
from holdfast.db import embedded
from holdfast.errors import ConfigurationError
from holdfast.jobs import seconds_of
from holdfast.settings import Settings, load_settings
from holdfast.telemetry import configure_logging
from holdfast.worker import Companion, Supervisor, SupervisorOptions

commands = typer.Typer()


@commands.command(
    help=help_of(
        "Run jobs until told to stop.",
        "holdfast worker --app shop.tasks:app",
        "holdfast worker --app tasks.py --queues mail,exports --concurrency 50",
        "holdfast worker --app tasks.py --processes 4   # several worker processes, one supervisor",
        "holdfast worker --app tasks.py --drain    # in CI: ends when nothing is runnable",
        "holdfast worker --app tasks.py --drain --queues crawl,figures --sequential --max-runtime 5h30m",
        more="SIGTERM or Ctrl-C: running jobs may finish within the soft limit; a second one hurries, a third ends at "
        "once. SIGUSR1: claim nothing more, but stay. SIGUSR2: write what runs now to the log.\n\n"
        "Exit status with --drain: 0 all well, 1 jobs failed, 8 none failed, but it ended before everything was done; "
        "of several processes the highest. Without: 0 after an ordered stop.",
    )
)
def worker(
    app: AppPath = None,
    queues: Queues = None,
    concurrency: Concurrency = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="what people call this worker")] = "",
    processes: Processes = 1,
    drain: Annotated[bool, typer.Option("--drain", help="exit when nothing is runnable any more")] = False,
    horizon: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="with --drain: wait for retries that are due this soon")
    ] = 300.0,
    sequential: Annotated[
        bool, typer.Option("--sequential", help="with --drain: one queue after the other, in the order of --queues")
    ] = False,
    max_runtime: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="with --drain: stop in order after so long, for example 5h30m"),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="with --drain: append a Markdown summary; default: the setting drain_summary"
        ),
    ] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    lifeline_fd: Annotated[int | None, typer.Option("--lifeline-fd", hidden=True)] = None,
    describe_fd: Annotated[int | None, typer.Option("--describe-fd", hidden=True)] = None,
) -> None:
    """Run jobs until told to stop."""
    duty = duty_of(queues=queues, concurrency=concurrency, name=name, drain=drain, horizon_seconds=horizon)
    seconds = None if max_runtime is None else seconds_of(max_runtime)
    order = DrainOrder(sequential=sequential, max_runtime_seconds=seconds, summary=summary, as_json=as_json)
    if not drain and order != DrainOrder():
        raise ConfigurationError(
            "--sequential, --max-runtime, --summary and --json belong to a drain", remedy="say --drain"
        )
    where = app or app_setting(database_url)
    if lifeline_fd is not None:
        application = _application(where, database_url)
        if describe_fd is not None and not describe(application, describe_fd):
            return
        raise typer.Exit(run_worker_process(application, duty, lifeline_fd))
    command = command_of(where, duty, database_url)
    if drain:
        raise typer.Exit(_drain(command, duty, order, processes))
    raise typer.Exit(supervise(command, start_first(command), processes=processes))


def duty_of(*, queues: str | None, **others: Any) -> Duty:
    """What the flags ask for. Raises ``ConfigurationError`` for ``--queues`` without a queue."""
    names = None if queues is None else tuple(part.strip() for part in queues.split(",") if part.strip())
    if names == ():
        raise ConfigurationError("--queues names no queue", remedy="write --queues mail,exports")
    return Duty(queues=names, **others)


def supervise(
    command: Sequence[str], first: FirstWorker, *, processes: int = 1, companions: Sequence[Companion] = ()
) -> int:
    """Run worker processes under a supervisor until their end; returns the exit status."""
    configure_logging(first.settings.log_level, first.settings.log_format)
    options = _supervision(command, first.settings, processes=processes, restart=True)
    options = dataclasses.replace(options, companions=companions)
    first.let_go_on()
    return Supervisor(options, first.started).run()


def _drain(command: Sequence[str], duty: Duty, order: DrainOrder, processes: int) -> int:
    first = start_first(first_turn(command, duty, order), stopped_status=INTERRUPTED)
    settings = first.settings
    configure_logging(settings.log_level, settings.log_format)
    order = replace(order, summary=order.summary or settings.drain_summary)
    options = _supervision(command, settings, processes=processes, restart=False)
    return Drain(first, order).run(duty, options, command)


def _supervision(command: Sequence[str], settings: Settings, *, processes: int, restart: bool) -> SupervisorOptions:
    return SupervisorOptions(
        url=settings.database_url or embedded.ensure_shared_server(settings.data_dir.parent).url,
        direct_url=settings.database_direct_url,
        pooled=settings.pooled,
        child=command,
        processes=processes,
        limits=limits_of(settings),
        max_losses=settings.max_losses,
        restart=restart,
        stopped_status=0 if restart else INTERRUPTED,
        shutdown_hard_seconds=settings.shutdown_hard_seconds,
    )


def command_of(where: str | None, duty: Duty, database_url: str | None) -> list[str]:
    """What the worker process is started with."""
    # -P: a file in the current folder that bears the name of a module of ours must not be imported instead of it.
    command = [sys.executable, "-P", "-m", "holdfast.cli", "worker", f"--name={duty.name}"]
    command += [f"--app={where}"] if where else []
    command += [f"--queues={','.join(duty.queues)}"] if duty.queues else []
    command += [f"--concurrency={duty.concurrency}"] if duty.concurrency else []
    command += ["--drain", f"--horizon={duty.horizon_seconds}"] if duty.drain else []
    command += [f"--database-url={database_url}"] if database_url else []
    return command


def app_setting(database_url: str | None) -> str | None:
    """The application that the settings name."""
    return load_settings({"database_url": database_url}).app


def _application(where: str | None, database_url: str | None) -> Holdfast:
    application = load_application(where)
    if database_url is not None:
        application.configure(database_url)
    return application
