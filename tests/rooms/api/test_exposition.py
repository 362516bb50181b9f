"""``/metrics`` over HTTP."""

from __future__ import annotations

import httpx

from holdfast import Holdfast
from holdfast.api import create_api


async def test_metrics_are_served_at_the_root(app: Holdfast) -> None:
    transport = httpx.ASGITransport(create_api(app, auth=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'holdfast_verdict{status="OK"} 1.0' in answer.text
    assert "holdfast_sse_clients 0.0" in answer.text


async def test_metrics_need_their_permission(app: Holdfast) -> None:
    transport = httpx.ASGITransport(create_api(app, auth=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answer = await client.get("/metrics")

    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
