"""``holdfast up`` and ``holdfast down``: everything from one command, and its end."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from holdfast.cli.api import companion
from holdfast.cli.connection import bare_database
from holdfast.cli.db import bring_up_to_date
from holdfast.cli.first_worker import start_first
from holdfast.cli.options import Concurrency, DatabaseUrl, Processes, Queues, Yes, help_of
from holdfast.cli.screen import screen
from holdfast.cli.worker import app_setting, command_of, duty_of, supervise
from holdfast.db import embedded
from holdfast.errors import ConfigurationError
from holdfast.settings import Settings, load_settings, redacted

commands = typer.Typer()


@commands.command(
    help=help_of(
        "Bring up the database (the embedded one when no URL is set), its schema, a worker of APP, and the dashboard.",
        "holdfast up hello.py",
        "holdfast up shop.tasks:app --queues mail,exports",
        "holdfast up              # database and schema only",
        more="Ctrl-C ends both; the embedded server stays for other terminals until `holdfast down`.",
    )
)
def up(
    app: Annotated[str | None, typer.Argument(metavar="[APP]", help="module, module:attribute or file.py")] = None,
    queues: Queues = None,
    concurrency: Concurrency = None,
    processes: Processes = 1,
    pages: Annotated[bool, typer.Option("--pages/--no-pages", help="serve the API and the dashboard, too")] = True,
    database_url: DatabaseUrl = None,
) -> None:
    """Bring up the database, its schema, a worker and the dashboard."""
    where = app or app_setting(database_url)
    if where is None:
        settings = load_settings({"database_url": database_url})
        asyncio.run(_prepare(settings))
        _tell("worker", "none: no application is named; say holdfast up APP, or set HOLDFAST_APP")
        return
    duty = duty_of(queues=queues, concurrency=concurrency)
    command = command_of(where, duty, database_url)
    first = start_first(command)
    settings = first.settings
    asyncio.run(_prepare(settings))
    serves = ", ".join(duty.queues or settings.queues)
    _tell(
        "worker",
        f"{where}: queues {serves}, {duty.concurrency or settings.concurrency} jobs at a time"
        + (f" in each of {processes} processes" if processes > 1 else ""),
    )
    beside = companion(where, settings, database_url) if pages else None
    screen.say("Ctrl-C ends the worker." if beside is None else "Ctrl-C ends them.")
    status = supervise(command, first, processes=processes, companions=() if beside is None else (beside[0],))
    if settings.database_url is None:
        screen.say("The embedded server runs on for other terminals; holdfast down ends it.")
    raise typer.Exit(status)


@commands.command(
    help=help_of(
        "End the project's embedded server.", "holdfast down", "holdfast down --delete-data --yes    # forget every job"
    )
)
def down(
    delete_data: Annotated[bool, typer.Option("--delete-data", help="delete everything that was stored, too")] = False,
    yes: Yes = False,
) -> None:
    """End the project's embedded server."""
    project = load_settings().data_dir.parent
    if delete_data and not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigurationError("--delete-data deletes every job of this project", remedy="say --yes as well")
        typer.confirm(f"Delete every job stored in {project / '.holdfast'}?", abort=True, err=True)
    ended = embedded.stop_shared_server(project, delete_data=delete_data)
    if not ended:
        screen.say(f"no embedded server runs for {project}")
    else:
        screen.say("the embedded server has ended" + (", its data is deleted" if delete_data else "; its data is kept"))


async def _prepare(settings: Settings) -> None:
    if settings.database_url is None:
        with screen.err.status("starting the embedded server"):
            address = await asyncio.to_thread(embedded.ensure_shared_server, settings.data_dir.parent)
        _tell("server", f"embedded, {redacted(address.url)}")
        _tell("data", str(settings.data_dir))
    else:
        _tell("server", str(redacted(settings.database_url)))
    async with bare_database(settings, deadline_seconds=30.0) as database:
        done = await bring_up_to_date(database, settings)
    _tell("schema", f"{len(done)} migrations applied" if done else "up to date")


def _tell(what: str, how: str) -> None:
    screen.say(f"{what:<8}{how}")
