"""Every route that is declared, with a request that reaches it; tests ask all of them the same question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from holdfast.access import Openness, Permission
from holdfast.api.frame.application import noun_routers
from holdfast.api.frame.routing import Declared
from tests.rooms.api import acts


@dataclass(frozen=True, slots=True)
class Reached:
    """One route and an address of it; what stands in its path need not exist."""

    declared: Declared
    operation: str
    address: str

    @property
    def name(self) -> str:
        return f"{self.declared.method} {self.declared.path}"

    @property
    def permission(self) -> Permission | None:
        return None if isinstance(self.declared.needs, Openness) else self.declared.needs

    async def ask(self, api: httpx.AsyncClient, headers: dict[str, str]) -> httpx.Response:
        body: Any = None if self.declared.method == "GET" else {}
        return await api.request(self.declared.method, self.address, headers=headers, json=body)


def every_route() -> Iterator[Reached]:
    for router in (*noun_routers(), acts.router):
        for declared, endpoint in router.routes:
            yield Reached(declared, endpoint.__name__, re.sub(r"\{\w+\}", "999999999", declared.path))
