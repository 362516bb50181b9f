"""What becomes of an error that ends a command."""

from __future__ import annotations

from holdfast.cli.screen import screen
from holdfast.db import DRIVER_ERRORS, classify
from holdfast.errors import HoldfastError

_UNAVAILABLE = 5


def tell(error: Exception) -> int | None:
    """Say what went wrong and what to do about it; returns the exit status. ``None``: it is nobody's fault but ours."""
    if isinstance(error, HoldfastError):
        screen.error(error.message, error.remedy)
        return error.exit_status
    if isinstance(error, DRIVER_ERRORS):
        screen.error(f"the database answered: {error}", None)
        return _UNAVAILABLE if classify(error).of_connection else 1
    return None
