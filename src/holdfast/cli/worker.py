"""``holdfast worker``: a supervisor, and under it the process that runs jobs."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import typer

from holdfast.app import Holdfast, limits_of
from holdfast.cli.locate import load_application
from holdfast.cli.options import AppPath, AsJson, Concurrency, DatabaseUrl, Processes, Queues, help_of
from holdfast.cli.worker_process import Duty, run_worker_process
from holdfast.db import embedded
from holdfast.errors import ConfigurationError
from holdfast.settings import Settings, load_settings
from holdfast.telemetry import configure_logging
from holdfast.worker import StartedChild, Supervisor, SupervisorOptions, start_child

_KILLED_BEFORE_ITS_HANDLERS = 128 + 15
_DRAIN_INTERRUPTED = 8
_GO = b"g"


WORKER_HELP = help_of(
    "Run jobs until told to stop.",
    "holdfast worker --app shop.tasks:app",
    "holdfast worker --app tasks.py --queues mail,exports --concurrency 50",
    "holdfast worker --app tasks.py --processes 4   # several worker processes, one supervisor",
    "holdfast worker --app tasks.py --drain    # in CI: ends when nothing is runnable",
    more="SIGTERM or Ctrl-C: running jobs may finish within the soft limit; a second one hurries, a third ends at "
    "once. SIGUSR1: claim nothing more, but stay. SIGUSR2: write what runs now to the log.\n\n"
    "Exit status with --drain: 0 all well, 1 jobs failed, 8 interrupted; of several processes the highest. Without: "
    "0 after an ordered stop.",
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
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
    lifeline_fd: Annotated[int | None, typer.Option("--lifeline-fd", hidden=True)] = None,
    describe_fd: Annotated[int | None, typer.Option("--describe-fd", hidden=True)] = None,
) -> None:
    """Run jobs until told to stop."""
    duty = duty_of(
        queues=queues, concurrency=concurrency, name=name, drain=drain, horizon_seconds=horizon, as_json=as_json
    )
    where = app or app_setting(database_url)
    if lifeline_fd is not None:
        application = _application(where, database_url)
        if describe_fd is not None and not _describe(application, describe_fd):
            return
        raise typer.Exit(run_worker_process(application, duty, lifeline_fd))
    command = command_of(where, duty, database_url)
    raise typer.Exit(supervise(command, start_first(command), drain=drain, processes=processes))


def duty_of(*, queues: str | None, **others: Any) -> Duty:
    """What the flags ask for. Raises ``ConfigurationError`` for ``--queues`` without a queue."""
    names = None if queues is None else tuple(part.strip() for part in queues.split(",") if part.strip())
    if names == ():
        raise ConfigurationError("--queues names no queue", remedy="write --queues mail,exports")
    return Duty(queues=names, **others)


@dataclass(frozen=True, slots=True)
class FirstWorker:
    """The first worker process: it has imported the application and told its settings, and waits to be let go on."""

    settings: Settings
    started: StartedChild
    line: socket.socket

    def let_go_on(self) -> None:
        """It connects and works from now on."""
        with self.line:
            self.line.sendall(_GO)


def supervise(command: Sequence[str], first: FirstWorker, *, drain: bool, processes: int = 1) -> int:
    """Run worker processes under a supervisor until their end; returns the exit status."""
    settings = first.settings
    configure_logging(settings.log_level, settings.log_format)
    url = settings.database_url or embedded.ensure_shared_server(settings.data_dir.parent).url
    options = SupervisorOptions(
        url=url,
        direct_url=settings.database_direct_url,
        pooled=settings.pooled,
        child=command,
        processes=processes,
        limits=limits_of(settings),
        max_losses=settings.max_losses,
        restart=not drain,
        shutdown_hard_seconds=settings.shutdown_hard_seconds,
    )
    first.let_go_on()
    status = Supervisor(options, first.started).run()
    if status == _KILLED_BEFORE_ITS_HANDLERS:
        return _DRAIN_INTERRUPTED if drain else 0
    return status


def command_of(where: str | None, duty: Duty, database_url: str | None) -> list[str]:
    """What the worker process is started with."""
    # -P: a file in the current folder that bears the name of a module of ours must not be imported instead of it.
    command = [sys.executable, "-P", "-m", "holdfast.cli", "worker", f"--name={duty.name}"]
    command += [f"--app={where}"] if where else []
    command += [f"--queues={','.join(duty.queues)}"] if duty.queues else []
    command += [f"--concurrency={duty.concurrency}"] if duty.concurrency else []
    command += ["--drain", f"--horizon={duty.horizon_seconds}"] if duty.drain else []
    command += ["--json"] if duty.as_json else []
    command += [f"--database-url={database_url}"] if database_url else []
    return command


def start_first(command: Sequence[str]) -> FirstWorker:
    """Start the first worker process and have it tell the application's settings, whose code stays out of this one.

    What is wrong with the application is said by that process, and ends this one with its status.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        started = start_child([*command, f"--describe-fd={theirs.fileno()}"], pass_fds=(theirs.fileno(),))
    with ours.makefile("rb") as told:
        text = told.readline()
    if not text.endswith(b"\n"):
        status = started.process.wait()
        raise typer.Exit(status if status > 0 else 1)
    values: dict[str, Any] = msgspec.json.decode(text)
    return FirstWorker(Settings(**values), started, ours)


def app_setting(database_url: str | None) -> str | None:
    """The application that the settings name."""
    return load_settings({"database_url": database_url}).app


def _application(where: str | None, database_url: str | None) -> Holdfast:
    application = load_application(where)
    if database_url is not None:
        application.configure(database_url)
    return application


def _describe(application: Holdfast, fd: int) -> bool:
    """Tell the settings, and wait; false: nobody wants this process to go on."""
    with socket.socket(fileno=fd) as line:
        line.sendall(application.settings.model_dump_json().encode() + b"\n")
        return line.recv(1) == _GO
