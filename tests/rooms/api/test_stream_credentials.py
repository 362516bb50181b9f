"""Answers without an end, and credentials that end: what was taken back is told nothing more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Role, Tokens
from holdfast.api import create_api
from holdfast.api.live import hub as live
from holdfast.api.nouns import events as feed
from holdfast.clock import monotonic, now
from holdfast.settings import Settings
from tests.rooms.access.issuing import AUDIENCE, issuing
from tests.rooms.api.listening import Served, Stream, served
from tests.waiting import eventually

AT_ONCE_SECONDS = 1.0


@pytest.fixture
async def guarded(app: Holdfast) -> AsyncIterator[Served]:
    async with served(create_api(app, auth=True)) as one:
        yield one


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks whether credentials still hold: what ends is ended by the act itself."""
    monkeypatch.setattr(live, "CREDENTIALS_SECONDS", 3600.0)


def client_of(here: Served) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://localhost:{here.port}/api/v1")


async def bearer(app: Holdfast, role: Role) -> tuple[int, dict[str, str]]:
    made, secret = await Tokens(app.database).create(str(role), by="test", role=role)
    return made, {"Authorization": f"Bearer {secret}"}


async def sign_in(http: httpx.AsyncClient, header: dict[str, str]) -> dict[str, str]:
    """The headers of a browser that has signed in."""
    answer = await http.post("/session", json={"token": header["Authorization"].removeprefix("Bearer ")})
    cookie = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
    http.cookies.clear()
    return {"Cookie": cookie, "X-CSRF-Token": answer.json()["csrf_token"]}


async def ends(stream: Stream, within_seconds: float) -> float:
    began = monotonic()
    async with asyncio.timeout(within_seconds):
        await stream.ended.wait()
    assert (stream.heard[-1].event, stream.heard[-1].data["because"]) == ("bye", "signed out")
    return monotonic() - began


async def test_whoever_is_gone_before_the_first_byte_listens_no_more(app: Holdfast) -> None:
    api = create_api(app, auth=False)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/stream",
        "raw_path": b"/api/v1/stream",
        "query_string": b"topics=stats",
        "headers": [(b"host", b"localhost")],
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 4711),
    }

    async def gone() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def unsent(_message: object) -> None:
        raise ConnectionResetError

    for _ in range(3):
        with contextlib.suppress(ConnectionResetError, ExceptionGroup):
            await api(dict(scope), gone, unsent)

    assert api.state.hub.count == 0


@pytest.mark.usefixtures("patient")
async def test_signing_out_ends_the_stream_of_that_browser_at_once(app: Holdfast, guarded: Served) -> None:
    _, header = await bearer(app, Role.VIEWER)
    async with client_of(guarded) as http:
        mine, other = await sign_in(http, header), await sign_in(http, header)
        streams = [await guarded.listen("stats", headers=browser) for browser in (mine, other)]
        await eventually(lambda: all(stream.of("stats") for stream in streams))
        assert (await http.delete("/session", headers=mine)).status_code == 204

    await ends(streams[0], AT_ONCE_SECONDS)
    told = len(streams[1].heard)
    await app.queues.pause("mail")
    await eventually(lambda: len(streams[1].heard) > told)
    assert not streams[1].ended.is_set()


@pytest.mark.usefixtures("patient")
async def test_a_token_that_is_revoked_ends_its_streams_and_those_of_its_sessions(
    app: Holdfast, guarded: Served
) -> None:
    _, admin = await bearer(app, Role.ADMIN)
    token, header = await bearer(app, Role.VIEWER)
    async with client_of(guarded) as http:
        browser = await sign_in(http, header)
        streams = [await guarded.listen("stats", headers=who) for who in (browser, header)]
        await eventually(lambda: all(stream.of("hello") for stream in streams))
        assert (await http.post(f"/tokens/{token}/revoke", headers=admin)).status_code == 200

    for stream in streams:
        await ends(stream, AT_ONCE_SECONDS)
    assert guarded.api.state.hub.count == 0


@pytest.mark.usefixtures("patient")
async def test_an_act_that_fails_ends_nothing(app: Holdfast, guarded: Served) -> None:
    _, admin = await bearer(app, Role.ADMIN)
    async with client_of(guarded) as http:
        stream = await guarded.listen("stats", headers=admin)
        await eventually(lambda: stream.of("stats"))
        mine = await sign_in(http, admin)
        assert (await http.delete("/session", headers={"Cookie": mine["Cookie"]})).status_code == 403
        assert (await http.post("/tokens/4711/revoke", headers=admin)).status_code == 404

    assert guarded.api.state.hub.count == 1
    assert not stream.ended.is_set()


async def test_what_another_process_took_back_is_noticed_within_seconds(app: Holdfast, guarded: Served) -> None:
    token, header = await bearer(app, Role.VIEWER)
    _, staying = await bearer(app, Role.VIEWER)
    streams = [await guarded.listen("stats", headers=who) for who in (header, staying)]
    await eventually(lambda: all(stream.of("stats") for stream in streams))
    await Tokens(app.database).revoke(token, by="holdfast token revoke")

    await ends(streams[0], live.CREDENTIALS_SECONDS + live.PULSE_SECONDS + 3)
    assert not streams[1].ended.is_set()


async def test_a_feed_ends_with_its_token(app: Holdfast, guarded: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_CREDENTIALS_SECONDS", 0.5)
    token, header = await bearer(app, Role.VIEWER)
    async with (
        client_of(guarded) as http,
        http.stream("GET", "/events/feed", params={"follow": "true"}, headers=header) as answer,
        asyncio.timeout(15),
    ):
        lines = answer.aiter_bytes()
        for _ in range(3):
            await anext(lines)
        await Tokens(app.database).revoke(token, by="somebody")
        async for line in lines:
            assert line == b"\n"


@pytest.mark.usefixtures("patient")
async def test_a_token_of_an_issuer_ends_its_streams_when_it_expires(database_url: str) -> None:
    with issuing() as issuer:
        settings = Settings(database_url=database_url, oidc_issuer=issuer.url, oidc_audience=AUDIENCE)
        async with Holdfast(settings=settings) as app, served(create_api(app, auth=True)) as here:
            expires_at = (now() + timedelta(seconds=4)).replace(microsecond=0)
            short, long = (
                {"Authorization": f"Bearer {issuer.token(exp=exp)}"} for exp in (expires_at, now() + timedelta(hours=1))
            )
            streams = [await here.listen("stats", headers=who) for who in (short, long)]
            await eventually(lambda: all(stream.of("stats") for stream in streams))
            assert not streams[0].ended.is_set()

            await ends(streams[0], 8)
            assert timedelta() <= now() - expires_at < timedelta(seconds=AT_ONCE_SECONDS)
            assert here.api.state.hub.count == 1
            assert not streams[1].ended.is_set()
            again = await here.listen("stats", headers=short)
            assert again.status == 401
