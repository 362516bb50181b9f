"""F16: the server's clock jumps by an hour, the server is away for longer than any limit: zero rescues.

Three live workers on a real server. What the worlds of test_judgement.py play by the thousand is done here once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from holdfast.clock import monotonic
from holdfast.db import Database
from holdfast.db.embedded import OwnedServer
from holdfast.leases import Judgement, Limits, Liveness, Seen, Station, Verdict, WorkerFacts, observer
from tests.rooms.leases.test_judgement import ComparesTimestamps, CountsOutages
from tests.waiting import eventually

LIMITS = Limits(silence_seconds=3, beat_seconds=0.3, settle_seconds=0.5)
DOWN_SECONDS = LIMITS.silence_seconds + 1.0
WORKERS = 3
_STEPPED = "clock_timestamp() + interval '{step}' - pg_postmaster_start_time()"


class Crew:
    """Workers that live in this process, what they were told, and what was done about them."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.rescued: list[int] = []
        self.lives: list[Liveness] = []
        self.looks = 0
        self.silent = False

    async def rescue(self, _: Database, worker: int) -> int:
        self.rescued.append(worker)
        return 0

    def judging(self, kind: type[Judgement]) -> type[Judgement]:
        """The same kind of judgement, with its looks counted."""
        crew = self

        class Counted(kind):  # type: ignore[valid-type, misc]
            def look(self, at: float, server_age_seconds: float, seen: Iterable[Seen]) -> list[Verdict]:
                crew.looks += 1
                return list(super().look(at, server_age_seconds, seen))

        return Counted

    async def join(self, station: Station) -> None:
        liveness = Liveness(
            station.session,
            LIMITS,
            on_lost=lambda reason: self.told.append(f"lost: {reason}"),
            on_cut_off=lambda: None,
            on_restored=lambda: None,
            beat_gate=lambda: not self.silent,
        )
        await liveness.register(WorkerFacts(name="one of three", queues=("default",), concurrency=1))
        self.lives.append(liveness)

    async def looked(self, times: int) -> None:
        """The observer has looked so many times more, or somebody has come to harm."""
        enough = self.looks + times
        await eventually(lambda: self.looks >= enough or self.harmed, within_seconds=30)

    async def outlast_the_silence(self) -> None:
        """Long enough to miss whoever would be missed."""
        await self.looked(round(1.2 * LIMITS.silence_seconds / LIMITS.observe_seconds))

    @property
    def harmed(self) -> bool:
        return bool(self.told or self.rescued)


@asynccontextmanager
async def crew_on(url: str, monkeypatch: pytest.MonkeyPatch, judgement: type[Judgement]) -> AsyncIterator[Crew]:
    crew = Crew()
    monkeypatch.setattr(observer, "Judgement", crew.judging(judgement))
    # One session and one observer for all: whoever looked before the break looks after it.
    async with Station(url, limits=LIMITS, rescue=crew.rescue) as station:
        for _ in range(WORKERS):
            await crew.join(station)
        await crew.looked(5)
        yield crew
        for life in crew.lives:
            await life.stop()


async def step_the_clock(url: str, crew: Crew) -> None:
    """An hour ahead, then two back: in the server's age and in every new session."""
    admin = await asyncpg.connect(url)
    source = await admin.fetchval("SELECT pg_get_functiondef('holdfast.observe_v1'::regproc)")
    there = "clock_timestamp() - pg_postmaster_start_time()"
    assert there in source
    name = await admin.fetchval("SELECT current_database()")
    for step in ("1 hour", "-1 hour"):
        await admin.execute(source.replace(there, _STEPPED.format(step=step)))
        await admin.execute(f"ALTER DATABASE {name} SET holdfast.clock_offset = '{step}'")
        await crew.looked(5)
        # New sessions see the new time; those of before went on with the old one.
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await crew.outlast_the_silence()
    await admin.close()


async def take_the_server_away(server: OwnedServer, url: str, crew: Crew) -> None:
    """For longer than any limit; when it is back, the observer looks before anybody beats."""
    crew.silent = True
    # A beat that the crash takes back, or that nobody saw before, would be news afterwards.
    await crew.looked(3)
    await flush(url)
    down_at = monotonic()
    server.crash()
    await eventually(lambda: monotonic() > down_at + DOWN_SECONDS, within_seconds=2 * DOWN_SECONDS)
    server.start()
    # Past the time for which a fresh server is not judged by, and well before anybody has been silent for too long.
    await crew.looked(round(2 * LIMITS.settle_seconds / LIMITS.observe_seconds) + 1)
    crew.silent = False
    await crew.outlast_the_silence()


async def flush(url: str) -> None:
    """What was committed without waiting for the disk is on it."""
    admin = await asyncpg.connect(url)
    await admin.execute("CHECKPOINT")
    await admin.close()


async def alive(url: str) -> int:
    admin = await asyncpg.connect(url)
    try:
        return int(await admin.fetchval("SELECT count(*) FROM holdfast.worker WHERE state = 'live'"))
    finally:
        await admin.close()


async def test_a_clock_that_jumps_by_an_hour_kills_nobody(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crew_on(database_url, monkeypatch, Judgement) as crew:
        await step_the_clock(database_url, crew)

        assert (crew.told, crew.rescued) == ([], [])
        assert await alive(database_url) == WORKERS


async def test_a_server_away_for_longer_than_any_limit_kills_nobody(
    durable_server: OwnedServer, durable_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crew_on(durable_database_url, monkeypatch, Judgement) as crew:
        await take_the_server_away(durable_server, durable_database_url, crew)

        assert (crew.told, crew.rescued) == ([], [])
        assert await alive(durable_database_url) == WORKERS


async def test_a_judgement_by_timestamps_is_caught(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with crew_on(database_url, monkeypatch, ComparesTimestamps) as crew:
        await step_the_clock(database_url, crew)

        assert crew.harmed


async def test_a_judgement_that_counts_outages_is_caught(
    durable_server: OwnedServer, durable_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crew_on(durable_database_url, monkeypatch, CountsOutages) as crew:
        await take_the_server_away(durable_server, durable_database_url, crew)

        assert crew.harmed
