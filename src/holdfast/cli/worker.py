"""``holdfast worker``: a supervisor, and under it the process that runs jobs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from holdfast.app import Holdfast, limits_of
from holdfast.cli.drain import Drain, DrainOrder
from holdfast.cli.locate import load_application
from holdfast.cli.options import AppPath, AsJson, Concurrency, DatabaseUrl, Queues, help_of
from holdfast.cli.worker_process import Duty, run_worker_process
from holdfast.db import embedded
from holdfast.errors import ConfigurationError
from holdfast.jobs import seconds_of
from holdfast.settings import Settings, load_settings
from holdfast.telemetry import configure_logging
from holdfast.worker import Supervisor, SupervisorOptions

_KILLED_BEFORE_ITS_HANDLERS = 128 + 15


WORKER_HELP = help_of(
    "Run jobs until told to stop.",
    "holdfast worker --app shop.tasks:app",
    "holdfast worker --app tasks.py --queues mail,exports --concurrency 50",
    "holdfast worker --app tasks.py --drain    # in CI: ends when nothing is runnable",
    "holdfast worker --app tasks.py --drain --queues crawl,figures --sequential --max-runtime 5h30m",
    more="SIGTERM or Ctrl-C: running jobs may finish within the soft limit; a second one hurries, a third ends at "
    "once. SIGUSR1: claim nothing more, but stay. SIGUSR2: write what runs now to the log.\n\n"
    "Exit status with --drain: 0 all well, 1 jobs failed, 8 none failed, but it ended before everything was done. "
    "Without: 0 after an ordered stop.",
)


def worker(
    app: AppPath = None,
    queues: Queues = None,
    concurrency: Concurrency = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="what people call this worker")] = "",
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
    if describe_fd is not None:
        _describe(_application(where, database_url), describe_fd)
    elif lifeline_fd is not None:
        raise typer.Exit(run_worker_process(_application(where, database_url), duty, lifeline_fd))
    else:
        command = command_of(where, duty, database_url)
        settings = ask_for_settings(command)
        if drain:
            raise typer.Exit(_drain(command, settings, duty, order))
        raise typer.Exit(supervise(command, settings))


def duty_of(*, queues: str | None, **others: Any) -> Duty:
    """What the flags ask for. Raises ``ConfigurationError`` for ``--queues`` without a queue."""
    names = None if queues is None else tuple(part.strip() for part in queues.split(",") if part.strip())
    if names == ():
        raise ConfigurationError("--queues names no queue", remedy="write --queues mail,exports")
    return Duty(queues=names, **others)


def supervise(command: Sequence[str], settings: Settings) -> int:
    """Run a worker process under a supervisor until its end; returns the exit status."""
    configure_logging(settings.log_level, settings.log_format)
    status = Supervisor(_supervision(command, settings, restart=True)).run()
    return 0 if status == _KILLED_BEFORE_ITS_HANDLERS else status


def _drain(command: Sequence[str], settings: Settings, duty: Duty, order: DrainOrder) -> int:
    configure_logging(settings.log_level, settings.log_format)
    order = dataclasses.replace(order, summary=order.summary or settings.drain_summary)
    return Drain(settings, order).run(duty, _supervision(command, settings, restart=False), command)


def _supervision(command: Sequence[str], settings: Settings, *, restart: bool) -> SupervisorOptions:
    return SupervisorOptions(
        url=settings.database_url or embedded.ensure_shared_server(settings.data_dir.parent).url,
        direct_url=settings.database_direct_url,
        pooled=settings.pooled,
        child=command,
        limits=limits_of(settings),
        max_losses=settings.max_losses,
        restart=restart,
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


def ask_for_settings(command: Sequence[str]) -> Settings:
    """Have the application's settings told by a process of its own, because its code stays out of the supervisor.

    What is wrong with the application is said by that process, and ends this one with its status.
    """
    reader, writer = os.pipe()
    try:
        asked = subprocess.Popen([*command, f"--describe-fd={writer}"], pass_fds=(writer,), stdin=subprocess.DEVNULL)
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as told:
        text = told.read()
    status = asked.wait()
    if status or not text:
        raise typer.Exit(status if status > 0 else 1)
    values: dict[str, Any] = msgspec.json.decode(text)
    return Settings(**values)


def app_setting(database_url: str | None) -> str | None:
    """The application that the settings name."""
    return load_settings({"database_url": database_url}).app


def _application(where: str | None, database_url: str | None) -> Holdfast:
    application = load_application(where)
    if database_url is not None:
        application.configure(database_url)
    return application


def _describe(application: Holdfast, fd: int) -> None:
    with os.fdopen(fd, "wb") as answer:
        answer.write(application.settings.model_dump_json().encode())
