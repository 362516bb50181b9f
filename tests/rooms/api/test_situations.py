"""Over HTTP the overview tells what is wrong in each of ten bad situations, and in a database that is away."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from tests.situations.ten import TEN, Situation
from tests.waiting import eventually


@pytest.mark.parametrize("situation", TEN, ids=str)
async def test_the_overview_tells_what_is_wrong(
    situation: Situation, http: httpx.AsyncClient, database_url: str
) -> None:
    assert (await http.get("/verdict")).json() == {"status": "OK", "reasons": []}
    async with situation.seeded(database_url):
        overview = (await http.get("/overview")).json()

    verdict = overview["verdict"]
    told = {reason["text"]: reason for reason in verdict["reasons"]}
    found = [reason for text, reason in told.items() if re.search(situation.sentence, text)]
    assert found, list(told)
    assert (found[0]["kind"], verdict["status"]) == (situation.kind, situation.status)
    assert found[0]["remedy"]
    assert overview["tiles"] is not None


async def test_a_database_that_takes_no_writes_any_more_is_the_verdict(
    app: Holdfast, http: httpx.AsyncClient, outsider: Any, database_url: str
) -> None:
    assert (await http.get("/verdict")).json()["status"] == "OK"
    name = database_url.rsplit("/", 1)[1]
    await outsider.execute(f'alter database "{name}" set default_transaction_read_only = on')
    others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> $1"
    await outsider.fetch(others, outsider.get_server_pid())

    async def told() -> dict[str, Any]:
        verdict: dict[str, Any] = (await http.get("/overview")).json()["verdict"]
        assert [reason["kind"] for reason in verdict["reasons"]] == ["read_only"]
        return verdict

    verdict = await eventually(told, within_seconds=20)
    assert verdict["status"] == "STALLED"
    assert "accepts no writes" in verdict["reasons"][0]["text"]
