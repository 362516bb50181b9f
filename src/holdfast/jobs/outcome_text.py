"""Results and errors as JSON text that PostgreSQL can hold."""

from __future__ import annotations

import traceback
from typing import Any, Final

import msgspec
from pydantic_core import to_json

from holdfast.errors import ResultNotStorable
from holdfast.jobs.storable import why_unstorable

_TRACEBACK_FRAMES: Final = 40
_MESSAGE_CHARACTERS: Final = 4_000


def result_text(result: Any, most_bytes: int = 1_000_000) -> str | None:
    """JSON text of a handler's result; None for None. Raises ``ResultNotStorable`` for what jsonb refuses."""
    if result is None:
        return None
    try:
        text = to_json(result, inf_nan_mode="constants")
    except Exception as error:  # noqa: BLE001 - computed fields and serializers are code of the application
        raise ResultNotStorable(
            f"the result is not JSON: {_message(error)}", remedy="return plain values, dataclasses or models"
        ) from None
    if len(text) > most_bytes:
        raise ResultNotStorable(
            f"the result is {len(text)} bytes long, {most_bytes} are allowed",
            remedy="store it elsewhere and return where",
        )
    described = text.decode()
    if reason := why_unstorable(described):
        raise ResultNotStorable(f"the result holds {reason}")
    return described


def error_text(error: BaseException) -> str:
    """JSON text of an error: its type, message and traceback, whatever its own methods do."""
    return encode_error(type(error).__name__, _message(error), _trace(error))


def encode_error(kind: str, message: str, trace: str | None = None) -> str:
    """JSON text of an error described in words."""
    described = {"type": kind, "message": message} | ({"traceback": trace} if trace else {})
    return msgspec.json.encode({key: _storable(value) for key, value in described.items()}).decode()


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE_CHARACTERS]
    except Exception as second:  # noqa: BLE001 - an exception of the application may fail to describe itself
        return f"(its message could not be made: {type(second).__name__})"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=-_TRACEBACK_FRAMES))[-20_000:]
    except Exception as second:  # noqa: BLE001
        return f"(its traceback could not be made: {type(second).__name__})"


def _storable(text: str) -> str:
    return text.replace("\x00", "\\0").encode("utf-8", "replace").decode()
