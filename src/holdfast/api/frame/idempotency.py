"""Idempotency keys: a request that is sent again, because its answer was lost, is not done again."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from fastapi import Request, Response

from holdfast.access import Answered, Principal, RequestKeys
from holdfast.db import Database
from holdfast.errors import KeyReused, RequestError

HEADER = "Idempotency-Key"
_LEGAL = re.compile(r"[\x21-\x7e]{1,200}\Z")

Inner = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done: its name in the audit, and FastAPI's handler."""

    action: str
    inner: Inner
    keeps_answer: bool = True
    """False: the answer holds a secret."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The key of one request, over the handle that its act is on."""

    key: str
    request: Request
    keys: RequestKeys
    act: Act

    @classmethod
    def of(cls, request: Request, database: Database, who: Principal, act: Act) -> Self | None:
        """The key, if the request has one and its sender a name. Raises ``RequestError`` for one that is none."""
        key = request.headers.get(HEADER)
        if key is None or who.kind in ("nobody", "public"):
            return None
        if not _LEGAL.match(key):
            raise RequestError(f"{HEADER} is 1 to 200 visible ASCII characters", remedy="a UUID does")
        return cls(key, request, RequestKeys(database, who), act)

    async def take(self) -> Response | None:
        """Take it; or what its first request was answered. Raises ``KeyReused``."""
        request = self.request
        address = f"{request.url.path}?{request.url.query}"
        answered = await self.keys.take(self.key, method=request.method, path=address, body=await request.body())
        if answered is None:
            return None
        if answered.body is None:
            raise KeyReused("this was done already, and its answer is shown once", remedy="look at what there is now")
        return Response(
            answered.body,
            answered.status,
            headers={"Idempotency-Replayed": "true"},
            media_type="application/json" if answered.body else None,
        )

    async def keep(self, response: Response) -> None:
        """Keep the answer for whoever repeats the request."""
        body = bytes(response.body) if self.act.keeps_answer else None
        await self.keys.answered(self.key, Answered(response.status_code, body))

    async def give_back(self) -> None:
        """Nothing was done: it may be tried again under the same key."""
        await self.keys.give_back(self.key)
