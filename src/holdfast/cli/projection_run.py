"""``holdfast projection run``: processes that serve projections and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from holdfast.app import Holdfast
from holdfast.cli.locate import load_application
from holdfast.cli.options import AppPath, DatabaseUrl, help_of
from holdfast.cli.screen import screen
from holdfast.cli.worker import app_setting
from holdfast.errors import ConfigurationError
from holdfast.events import projections as projecting
from holdfast.telemetry import configure_logging

_INTERRUPTED = 130
RUN_HELP = help_of(
    "Serve projections until told to stop.",
    "holdfast projection run --app shop.tasks:app",
    "holdfast projection run --app shop.tasks:app --name analytics --workers 4",
    "PARTITION_KEY=0 TOTAL_PARTITIONS=4 holdfast projection run --app shop.tasks:app",
    "holdfast projection run --app shop.tasks:app --drain    # ends when everything is handled",
    more="Without a partition key the 64 partitions are shared out among the processes that live: start and stop as "
    "many as you like. With one, a process takes the partitions whose number leaves the key when divided by the total; "
    "two processes with one key are an error. `holdfast worker` serves projections beside jobs.\n\n"
    "SIGTERM or Ctrl-C: the batch in hand is finished and everything given back; a second one ends at once.",
)


def run(
    name: Annotated[
        str | None,
        typer.Option("--name", envvar="PROJECTION_NAME", metavar="A,B", help="projections to serve; default: all"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, envvar="WORKERS", metavar="N", help="processes to run")] = 1,
    batch_size: Annotated[
        int | None, typer.Option(min=1, envvar="BATCH_SIZE", metavar="N", help="events in a transaction, at most")
    ] = None,
    partition_key: Annotated[
        int | None, typer.Option(envvar="PARTITION_KEY", metavar="K", help="fixed partitions: 0 to the total - 1")
    ] = None,
    total_partitions: Annotated[
        int | None, typer.Option(envvar="TOTAL_PARTITIONS", metavar="N", help="fixed partitions: how many in all")
    ] = None,
    lease_seconds: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="after so long a process that died is replaced")
    ] = 10.0,
    drain: Annotated[bool, typer.Option("--drain", help="exit when everything is handled")] = False,
    app: AppPath = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Serve projections until told to stop."""
    fixed = projecting.fixed_partitions(partition_key, total_partitions)
    where = app or app_setting(database_url)
    application = load_application(where)
    if database_url is not None:
        application.configure(database_url)
    names = None if name is None else [part.strip() for part in name.split(",") if part.strip()]
    chosen = application.declared_projections(names)
    if not chosen:
        raise ConfigurationError("the application declares no projection", remedy="declare one with @app.projection(…)")
    if workers > 1:
        if fixed is not None:
            raise ConfigurationError(
                "a partition key belongs to one process", remedy="leave --workers at 1, or the partition key away"
            )
        raise typer.Exit(_run_many(workers, sys.argv[1:]))
    options = projecting.ProjectorOptions(lease_seconds, fixed=fixed, batch=batch_size, until_caught_up=drain)
    asyncio.run(_serve(application, chosen, options))


async def _serve(
    application: Holdfast, chosen: Sequence[projecting.Projection], options: projecting.ProjectorOptions
) -> None:
    configure_logging(application.settings.log_level, application.settings.log_format)
    async with application, projecting.serving_apart(application.database, chosen, options) as projectors:
        stops = 0

        def stop() -> None:
            nonlocal stops
            stops += 1
            if stops > 1:
                os._exit(_INTERRUPTED)
            projectors.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        await projectors.run()


def _run_many(count: int, arguments: Sequence[str]) -> int:
    """The same command in several processes of one each; returns the worst of their exit statuses."""
    command = [sys.executable, "-P", "-m", "holdfast.cli", *arguments, "--workers", "1"]
    # Sessions of their own: Ctrl-C of a terminal would otherwise reach them twice, and twice means at once.
    processes = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]

    def pass_on(number: int, _frame: object) -> None:
        for process in processes:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    screen.say(f"{count} processes: {', '.join(str(process.pid) for process in processes)}")
    try:
        statuses = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
    return max((status if status >= 0 else 128 - status for status in statuses), default=0)
