"""The program ``holdfast``: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from holdfast.cli.screen import screen
from holdfast.cli.worker import worker
from holdfast.db import DRIVER_ERRORS, classify
from holdfast.errors import HoldfastError

_INTERRUPTED = 130
_UNAVAILABLE = 5

program = typer.Typer(
    name="holdfast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Durable background work on PostgreSQL.",
    epilog="Exit status: 0 ok, 1 failed, 2 usage, 3 not found or conflict, 5 unavailable, 6 too late, 8 drain interrupted.",
)
program.command()(worker)


@program.callback()
def _globally(
    no_color: Annotated[bool, typer.Option("--no-color", help="no colours; so does the variable NO_COLOR")] = False,
) -> None:
    if no_color:
        screen.without_color()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status. Errors of ours are two lines on stderr, never a traceback."""
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
