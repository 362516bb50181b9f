"""An API over the application of a test, spoken to without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from holdfast import Holdfast
from holdfast.api import create_api


@pytest.fixture
async def http(app: Holdfast) -> AsyncIterator[httpx.AsyncClient]:
    """A client on this machine, of an API without authentication."""
    transport = httpx.ASGITransport(create_api(app, auth=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as client:
        yield client
