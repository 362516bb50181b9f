"""The audit: every act over HTTP, every act of a command, and every refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from holdfast.access.redaction import redacted, redacted_text
from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.access", "access.sql")
_NEWEST = 2**63 - 1
_LONGEST_TEXT = 2_000

Result = Literal["done", "begun", "failed", "denied"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the audit, as it is to be written."""

    actor: str
    actor_kind: str
    action: str
    result: Result
    target_kind: str | None = None
    target: str | None = None
    reason: str | None = None
    before: Any = None
    after: Any = None
    code: str | None = None
    detail: str | None = None
    request_id: str | None = None
    client: str | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row of the audit, as it was written."""

    id: int
    at: datetime
    actor: str
    actor_kind: str
    action: str
    result: str
    target_kind: str | None
    target: str | None
    reason: str | None
    before: Any
    after: Any
    code: str | None
    detail: str | None
    request_id: str | None
    client: str | None


class Audit:
    """The audit, over a handle on the database: with that of a transaction, the row is committed with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, entry: Entry) -> int:
        """Write one row; what looks secret is left out. Returns its id."""
        return int(
            await self._database.fetchval(
                _SQL["write_audit"],
                _text(entry.actor),
                entry.actor_kind,
                entry.action,
                entry.result,
                entry.target_kind,
                _text(entry.target),
                _text(entry.reason),
                _json(entry.before),
                _json(entry.after),
                entry.code,
                _text(entry.detail),
                _text(entry.request_id),
                entry.client,
            )
        )

    async def list(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> Sequence[Recorded]:
        """The newest rows first; ``before``: the id to go on from."""
        rows = await self._database.fetch(_SQL["audit_page"], before or _NEWEST, actor, action, since, target, limit)
        return [
            Recorded(**{**dict(row), "before": _value(row["before"]), "after": _value(row["after"])}) for row in rows
        ]


def _text(text: str | None) -> str | None:
    """Text that PostgreSQL can store, whatever a request contained."""
    if text is None:
        return None
    storable = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
    return redacted_text(storable)[:_LONGEST_TEXT]


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(redacted(msgspec.to_builtins(value))).decode()


def _value(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
