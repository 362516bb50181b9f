"""The program ``holdfast``: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Annotated

import typer

from holdfast.cli.api import API_HELP, api
from holdfast.cli.audit import audit
from holdfast.cli.batch import batches
from holdfast.cli.db import schema
from holdfast.cli.db_sessions import add_sessions
from holdfast.cli.event import events
from holdfast.cli.failure import failures
from holdfast.cli.job import jobs
from holdfast.cli.job_verbs import add_verbs
from holdfast.cli.limit import limits
from holdfast.cli.metrics import metrics
from holdfast.cli.operation import operations
from holdfast.cli.options import AsJson, help_of
from holdfast.cli.projection import projections
from holdfast.cli.queue import queues
from holdfast.cli.schedule import schedules
from holdfast.cli.screen import screen
from holdfast.cli.start import down, up
from holdfast.cli.status import status
from holdfast.cli.token import tokens
from holdfast.cli.worker import WORKER_HELP, worker
from holdfast.db import DRIVER_ERRORS, classify
from holdfast.errors import HoldfastError
from holdfast.telemetry import configure_logging

_INTERRUPTED = 130
_UNAVAILABLE = 5

program = typer.Typer(
    name="holdfast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=help_of(
        "Durable background work on PostgreSQL.",
        "holdfast up hello.py                 # server, schema and worker",
        "holdfast job enqueue greet name=Ada",
        "holdfast status",
        more="Exit status: 0 ok, 1 failed, 2 usage, 3 not found or conflict, 5 unhealthy or unavailable, 6 not in "
        "time, 8 drain interrupted, 130 interrupted.",
    ),
)
program.command(
    help=help_of(
        "Bring up the database (the embedded one when no URL is set), its schema, a worker of APP, and the dashboard.",
        "holdfast up hello.py",
        "holdfast up shop.tasks:app --queues mail,exports",
        "holdfast up              # database and schema only",
        more="Ctrl-C ends both; the embedded server stays for other terminals until `holdfast down`.",
    )
)(up)
program.command(
    help=help_of(
        "End the project's embedded server.", "holdfast down", "holdfast down --delete-data --yes    # forget every job"
    )
)(down)
program.command(help=WORKER_HELP)(worker)
program.command(help=API_HELP)(api)
program.command(
    help=help_of(
        "How it stands, on one screen, the verdict first. Exit status 5 unless it is OK.",
        "holdfast status",
        "holdfast status --json | jq -r .verdict",
        more="OK, DEGRADED (something needs a person) or STALLED (jobs are ready and nobody works on any of them).",
    )
)(status)
program.command(
    help=help_of(
        "Everything as Prometheus reads it, once; /metrics of the API serves the same.",
        "holdfast metrics > /var/lib/node_exporter/holdfast.prom",
    )
)(metrics)
add_verbs(jobs)
add_sessions(schema)
program.add_typer(jobs)
program.add_typer(failures)
program.add_typer(operations)
program.add_typer(batches)
program.add_typer(queues)
program.add_typer(schedules)
program.add_typer(events)
program.add_typer(projections)
program.add_typer(limits)
program.add_typer(tokens)
program.add_typer(audit)
program.add_typer(schema)


@program.command(help=help_of("The versions of Holdfast and Python.", "holdfast version"))
def version(as_json: AsJson = False) -> None:
    """Say which program this is."""
    ours, python = metadata.version("holdfast"), platform.python_version()
    if as_json:
        screen.json({"holdfast": ours, "python": python})
    else:
        screen.write(f"holdfast {ours} (Python {python})")


def _say_version(value: bool) -> None:
    if value:
        version()
        raise typer.Exit


@program.callback()
def _globally(
    no_color: Annotated[bool, typer.Option("--no-color", help="no colours; so does the variable NO_COLOR")] = False,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="the same as `holdfast version`")
    ] = False,
) -> None:
    if no_color:
        screen.without_color()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of ours are two lines on stderr, never a traceback."""
    # What goes wrong is told below; a worker sets its own log up.
    configure_logging("critical", "text")
    try:
        status = program(arguments, standalone_mode=False)
        sys.stdout.flush()
    except HoldfastError as error:
        screen.error(error.message, error.remedy)
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough. Nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except DRIVER_ERRORS as error:
        fault = classify(error)
        screen.error(f"the database answered: {error}", None)
        return _UNAVAILABLE if fault.of_connection else 1
    except Exception as error:
        # A wrong flag or argument. The parser of typer has had several homes, so it is known by what it can do.
        if not (hasattr(error, "show") and hasattr(error, "exit_code")):
            raise
        error.show()
        return int(error.exit_code)
    return status if isinstance(status, int) else 0
