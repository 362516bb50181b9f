"""Idempotency keys of requests: the same key and the same request, the same answer."""

from __future__ import annotations

import hashlib

from msgspec import Struct

from holdfast.access.principal import Principal
from holdfast.db import Database, load_statements
from holdfast.errors import KeyReused

_SQL = load_statements("holdfast.access", "access.sql")


class Answered(Struct, frozen=True):
    """What the first request of a key was answered."""

    status: int
    body: bytes | None
    """``None``: it held a secret, which is shown once."""


class RequestKeys:
    """Keys, over the handle of the transaction that the act is in."""

    def __init__(self, database: Database, who: Principal) -> None:
        """A key belongs to whoever sent it: others may use the same."""
        self._database = database
        self._actor = who.key

    async def take(self, key: str, *, method: str, path: str, body: bytes) -> Answered | None:
        """Take the key, or give what it was answered. Waits while its first request is at work.

        Raises ``KeyReused`` when that was another request.
        """
        digest = hashlib.sha256(b"\0".join((method.encode(), path.encode("utf-8", "surrogatepass"), body))).digest()
        row = await self._database.fetchrow(_SQL["take_request_key"], self._actor, key, digest)
        if row is not None and row["is_new"]:
            return None
        if row is None or not row["is_same"]:
            raise KeyReused(
                f"the idempotency key {key!r} belongs to another request", remedy="make a new key for a new request"
            )
        if row["status"] is None:
            raise KeyReused(
                "the first request with this idempotency key is still at work", remedy="wait, then ask again"
            )
        return Answered(row["status"], None if row["body"] is None else bytes(row["body"]))

    async def give_back(self, key: str) -> None:
        """Let the key go: what it stood for was not done."""
        await self._database.execute(_SQL["drop_request_key"], self._actor, key)

    async def answered(self, key: str, answer: Answered) -> None:
        """Keep the answer, in the transaction of the act."""
        await self._database.execute(_SQL["answer_request_key"], self._actor, key, answer.status, answer.body)
