"""The program ``holdfast``: what it says of itself, and what becomes of errors.

Nothing is imported here that a person who asks for help would wait for.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from holdfast.cli.commands import Commands
from holdfast.cli.options import help_of
from holdfast.telemetry import configure_logging

_INTERRUPTED = 130

program = typer.Typer(
    name="holdfast",
    cls=Commands,
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


def _say_version(value: bool) -> None:
    if value:
        from holdfast.cli.version import version

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
        from holdfast.cli.screen import screen

        screen.without_color()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of ours are two lines on stderr, never a traceback."""
    # What goes wrong is told below; a worker sets its own log up.
    configure_logging("critical", "text")
    try:
        status = program(arguments, standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough. Nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # A wrong flag or argument. The parser of typer has had several homes, so it is known by what it can do.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        from holdfast.cli.mishap import tell

        told = tell(error)
        if told is None:
            raise
        return told
    return status if isinstance(status, int) else 0
