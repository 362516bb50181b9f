"""Types of parameters and answers that several nouns share: ids, reasons, cursors, pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar

from fastapi import Depends, Query
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from holdfast.errors import CursorInvalid

T = TypeVar("T")

_LARGEST = 2**63 - 1
_LONGEST_CURSOR = 1_000


def _to_id(value: Any) -> int:
    """Exactly what was handed out: decimal digits without a sign, within 64 bits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and str(int(value[:20])) == value:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        raise ValueError("an id is a string of digits, within 64 bits")
    return value


Id = Annotated[
    int,
    PlainValidator(_to_id),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^(0|[1-9][0-9]{0,18})$", "maxLength": 19}),
]
"""A 64-bit id (of a job, a batch, an event): an ``int`` here, a string outside: numbers there have 53 bits."""

JobId = Id
"""The id of a job."""

Name = Annotated[str, Query(min_length=1, max_length=500)]
"""A name in the query string: of a queue, a schedule, a projection, a stream."""


def _require_text(value: Any) -> Any:
    """Numbers are no moments here: nobody could tell seconds from milliseconds."""
    if isinstance(value, datetime) or (isinstance(value, str) and "T" in value.upper()):
        return value
    raise ValueError("a moment is written as 2026-01-31T12:00:00Z")


Moment = Annotated[AwareDatetime, BeforeValidator(_require_text)]
"""A moment in a query or a body: RFC 3339, with its offset."""

Limit = Annotated[int, Query(ge=1, le=200, description="items on one page")]
"""How many items a page has: ``limit: Limit = 50``."""


def _is_number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("Input should be a valid integer")  # noqa: TRY004  (pydantic hears only ValueError)
    return value


_WHOLE = BeforeValidator(_is_number)
Whole = Annotated[int, _WHOLE]
"""A whole number in a body as JSON Schema understands it: 9 and 9.0, but neither true nor "9"."""
Priority = Annotated[int, Field(ge=0, le=9), _WHOLE]
Capacity = Annotated[int, Field(ge=0, le=2**31 - 1), _WHOLE]
Counted = Annotated[int, Field(ge=1, le=2**31 - 1), _WHOLE]


class Body(BaseModel):
    """What a body is made of. Unknown fields are refused: a typing mistake would do half of what was meant."""

    model_config = ConfigDict(extra="forbid")


class Reason(Body):
    """Why somebody does it; kept in the audit."""

    reason: str | None = Field(default=None, max_length=1_000)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends: the values of its last row by which the list is ordered."""

    values: tuple[str | int | float | None, ...]

    def integer(self, index: int = 0) -> int:
        """The value there as a 64-bit integer. Raises ``CursorInvalid``."""
        value = self._at(index)
        if isinstance(value, bool) or not isinstance(value, int) or not -_LARGEST - 1 <= value <= _LARGEST:
            raise _foreign()
        return value

    def text(self, index: int = 0) -> str:
        """The value there as text. Raises ``CursorInvalid``."""
        value = self._at(index)
        if not isinstance(value, str) or "\0" in value:
            raise _foreign()
        return value

    def moment(self, index: int = 0) -> datetime:
        """The value there as an aware datetime. Raises ``CursorInvalid``."""
        try:
            value = datetime.fromisoformat(self.text(index))
        except ValueError:
            raise _foreign() from None
        if value.tzinfo is None:
            raise _foreign()
        return value

    def _at(self, index: int) -> str | int | float | None:
        if index >= len(self.values):
            raise _foreign()
        return self.values[index]

    def encode(self) -> str:
        """The cursor, as a client sends it back."""
        return base64.urlsafe_b64encode(json.dumps(self.values, separators=(",", ":")).encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Read a cursor. Raises ``CursorInvalid`` for anything that ``encode`` does not write."""
        try:
            values = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        except (binascii.Error, ValueError, RecursionError):
            raise _foreign() from None
        scalar = (str, int, float, type(None))
        if not isinstance(values, list) or not all(isinstance(value, scalar) for value in values):
            raise _foreign()
        if any(isinstance(value, str) and not _is_unicode(value) for value in values):
            raise _foreign()
        return cls(tuple(values))


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _foreign() -> CursorInvalid:
    return CursorInvalid(
        "this cursor is not one of this list", remedy="take `next` of a page as it is, or leave it out"
    )


def _cursor(
    cursor: Annotated[str | None, Query(max_length=_LONGEST_CURSOR, description="`next` of the page before")] = None,
) -> Position | None:
    return None if cursor is None else Position.decode(cursor)


Cursor = Annotated[Position | None, Depends(_cursor)]
"""Where to go on: a parameter ``cursor: Cursor`` without a default, then ``cursor.integer() if cursor else None``."""


class Page(BaseModel, Generic[T]):
    """Some items of a list, and where the next ones begin."""

    items: list[T]
    next: str | None = Field(description="cursor of the next page; null on the last one")


def page_of(rows: Sequence[T], limit: int, position: Callable[[T], Sequence[Any]]) -> tuple[Sequence[T], str | None]:
    """Of ``limit + 1`` rows asked for: those that are shown, and the cursor behind them if there are more.

    ``position`` gives the values that the list is ordered by; datetimes become text.
    """
    shown = rows[:limit]
    if len(rows) <= limit or not shown:
        return shown, None
    values = (value.isoformat() if isinstance(value, datetime) else value for value in position(shown[-1]))
    return shown, Position(tuple(values)).encode()
