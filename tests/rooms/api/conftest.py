"""An API over the application of a test, spoken to without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Role, Tokens
from holdfast.settings import Settings
from tests.rooms.api.acts import api_with_acts

Serve = Callable[..., Awaitable[httpx.AsyncClient]]
MakeToken = Callable[..., Awaitable[dict[str, str]]]


@pytest.fixture
async def serve(database_url: str) -> AsyncIterator[Serve]:
    """Makes clients, each of an API with settings of its own."""
    async with AsyncExitStack() as stack:

        async def start(
            *, auth: bool = True, client: str = "127.0.0.1", host: str = "http://localhost", **settings: Any
        ) -> httpx.AsyncClient:
            app = Holdfast(settings=Settings(**{"database_url": database_url, "api_rate": None, **settings}))
            stack.push_async_callback(app.close)
            api = api_with_acts(app, auth=auth)
            stack.push_async_callback(api.state.frame.throttle.close)
            transport = httpx.ASGITransport(api, client=(client, 4711))
            return await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=f"{host}/api/v1"))

        yield start


@pytest.fixture
async def http(serve: Serve) -> httpx.AsyncClient:
    """A client on this machine, of an API without authentication."""
    return await serve(auth=False)


@pytest.fixture
def token(app: Holdfast) -> MakeToken:
    """Makes tokens, each as the header that shows it."""

    async def make(role: Role | None = Role.ADMIN, **options: Any) -> dict[str, str]:
        _, secret = await Tokens(app.database).create(str(role), by="test", role=role, **options)
        return {"Authorization": f"Bearer {secret}"}

    return make
