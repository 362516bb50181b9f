"""Results and errors as JSON text that PostgreSQL can hold."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec
from pydantic_core import to_json

from holdfast.errors import ResultNotStorable
from holdfast.jobs.storable import why_unstorable

_TRACEBACK_FRAMES: Final = 40
_MESSAGE_CHARACTERS: Final = 4_000
_HOUSE: Final = str(Path(__file__).parents[1])
_STANDARD: Final = ("<frozen", *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")))
_DEEPEST: Final = 1_000
"""Frames looked at: a recursion without end has more, and they say the same."""


def result_text(result: Any, most_bytes: int = 1_000_000) -> str | None:
    """JSON text of a handler's result; None for None. Raises ``ResultNotStorable`` for what jsonb refuses."""
    if result is None:
        return None
    try:
        text = to_json(result, inf_nan_mode="constants", fallback=msgspec.to_builtins)
    except Exception as error:  # noqa: BLE001 - computed fields and serializers are code of the application
        raise ResultNotStorable(
            f"the result is not JSON: {_message(error)}", remedy="return plain values, dataclasses, models or Structs"
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
    """JSON text of an error: its type, message, traceback and frame, whatever its own methods do.

    ``frame`` is where failures are told apart, see ``own_frame``.
    """
    return encode_error(type(error).__name__, _message(error), _trace(error), own_frame(error.__traceback__))


def encode_error(kind: str, message: str, trace: str | None = None, frame: str | None = None) -> str:
    """JSON text of an error described in words."""
    described = {"type": kind, "message": message}
    described |= ({"traceback": trace} if trace else {}) | ({"frame": frame} if frame else {})
    return msgspec.json.encode({key: _storable(value) for key, value in described.items()}).decode()


def error_in_short(text: str | None) -> dict[str, str]:
    """For the log: the type of an error and the function that raised it; not the message, which may quote arguments."""
    described = msgspec.json.decode(text) if text else {}
    return {name: described[key] for name, key in (("error", "type"), ("at", "frame")) if key in described}


def own_frame(trace: TracebackType | None) -> str | None:
    """The innermost function of the application in a traceback, as ``shop.mail:Mailer.send``; None: there is none.

    Modules and functions outlive releases, lines do not. An application that is installed like a library is known by
    the package of the outermost frame that is neither ours nor Python's: that of the handler.
    """
    found, package = None, None
    for _ in range(_DEEPEST):
        if trace is None:
            break
        code, module = trace.tb_frame.f_code, str(trace.tb_frame.f_globals.get("__name__") or "")
        installed = "site-packages" in code.co_filename or "dist-packages" in code.co_filename
        standard = not installed and code.co_filename.startswith(_STANDARD)
        if not (standard or code.co_filename.startswith(_HOUSE)):
            package = package or module.partition(".")[0]
            if not installed or module.partition(".")[0] == package:
                found = f"{module}:{code.co_qualname}"
        trace = trace.tb_next
    return found


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
