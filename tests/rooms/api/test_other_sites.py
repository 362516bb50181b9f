"""Pages of other sites: only those that the settings name, and only with a token of their own."""

from __future__ import annotations

import pytest

from holdfast.access import Role
from tests.rooms.api.conftest import MakeToken, Serve

OURS, THEIRS = "https://ops.example", "https://evil.example"


async def test_a_site_that_is_named_may_ask(serve: Serve, token: MakeToken) -> None:
    api = await serve(api_origins=[OURS])
    asked = await api.options("/acts/pause", headers={"Origin": OURS, "Access-Control-Request-Method": "POST"})
    answer = await api.post(
        "/acts/pause", json={"name": "mail"}, headers={**await token(Role.OPERATOR), "Origin": OURS}
    )

    assert asked.headers["access-control-allow-origin"] == answer.headers["access-control-allow-origin"] == OURS
    assert answer.status_code == 200
    assert "access-control-allow-credentials" not in asked.headers


@pytest.mark.parametrize("origins", [[], [OURS]])
async def test_others_may_not(serve: Serve, origins: list[str]) -> None:
    api = await serve(api_origins=origins, auth=False)
    headers = {"Origin": THEIRS, "Access-Control-Request-Method": "POST"}
    asked = await api.options("/acts/pause", headers=headers)
    read = await api.get("/me", headers={"Origin": THEIRS})

    assert "access-control-allow-origin" not in {**asked.headers, **read.headers}
    assert (await api.post("/acts/pause", json={"name": "mail"}, headers={"Origin": THEIRS})).status_code == 403
