"""Answers that never come: an enqueue or a completion is repeated until it is known, and is never doubled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.db import Database
from holdfast.jobs import Batch, Claimed, NewJob, Producer
from holdfast.jobs.asking import Asking
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.waiting import eventually


class Cutter:
    """A cable to the server that is cut once, after the server has done what a message with ``word`` asked for.

    The statement is let through, its answer is thrown away with the connection: the client cannot know.
    """

    def __init__(self, url: str, word: bytes) -> None:
        self._target = urlsplit(url)
        self._word = word
        self._armed = False
        self.cuts = 0
        self.url = ""

    def arm(self) -> None:
        self._armed = True

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Cutter]:
        tasks: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.create_task(self._carry(reader, writer)))

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        login = self._target.netloc.rpartition("@")[0]
        self.url = self._target._replace(netloc=f"{login}@127.0.0.1:{server.sockets[0].getsockname()[1]}").geturl()
        try:
            yield self
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        cut = asyncio.Event()
        back = asyncio.create_task(self._back(there_reader, writer, cut))
        try:
            with suppress(OSError):
                while data := await reader.read(1 << 20):
                    # A statement is parsed by its text once and then bound by name: the word may be in either.
                    if self._armed and self._word in data:
                        self._armed = False
                        cut.set()
                    there_writer.write(data)
                    await there_writer.drain()
        finally:
            there_writer.close()
            back.cancel()
            writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(1 << 20):
                    if cut.is_set() and self._committed(data):
                        self.cuts += 1
                        writer.transport.abort()
                        return
                    if not cut.is_set():
                        writer.write(data)
                        await writer.drain()
        finally:
            writer.close()

    def _committed(self, data: bytes) -> bool:
        """Whether the server has said that it is ready for the next statement, so this one is committed."""
        return data[-6:-1] == b"Z\x00\x00\x00\x05"


@pytest.fixture
async def cut(database_url: str) -> AsyncIterator[tuple[Cutter, Database]]:
    async with Cutter(database_url, b"a-word-in-the-arguments").laid() as cutter:
        # Without a pooler's statement names every execution carries its parameters on one flight.
        database = Database(cutter.url, pooled=True)
        await database.open(10)
        yield cutter, database
        await database.close(5)


WORD = '{"n": "a-word-in-the-arguments"}'


@pytest.mark.parametrize("unique_key", [None, "t:k"])
async def test_an_enqueue_whose_answer_was_lost_is_stored_once(
    app: Holdfast, outsider: Any, cut: tuple[Cutter, Database], unique_key: str | None
) -> None:
    cutter, database = cut
    producer = Producer(database)
    await producer.enqueue(NewJob("t", "other", "{}", 5, 0))
    cutter.arm()
    job_id = await producer.enqueue(NewJob("t", "default", WORD, 5, 0, unique_key=unique_key))
    assert cutter.cuts == 1
    assert not job_id.existing
    assert await outsider.fetchval("SELECT array_agg(id) FROM holdfast.job WHERE queue = 'default'") == [job_id]
    assert await app.queues.backlog(["default"]) == 1
    await assert_conserved(app.database)
    await producer.close()


async def test_many_whose_answer_was_lost_are_stored_once_in_order(
    app: Holdfast, outsider: Any, cut: tuple[Cutter, Database]
) -> None:
    cutter, database = cut
    producer = Producer(database)
    cutter.arm()
    ids = await producer.enqueue_many([NewJob("t", "default", WORD, 5, 0) for _ in range(2000)])
    assert cutter.cuts == 1
    assert await outsider.fetchval("SELECT array_agg(id ORDER BY id) FROM holdfast.job") == sorted(ids)
    assert await app.queues.backlog(["default"]) == 2000
    await assert_conserved(app.database)


async def test_a_completion_whose_answer_was_lost_counts_when_it_is_repeated(
    app: Holdfast, cut: tuple[Cutter, Database]
) -> None:
    @app.task
    async def work() -> None: ...

    ids = await work.enqueue_many([()] * 5)
    cutter, database = cut
    hand = await Hand.registered(database)
    claimed = await hand.claim()
    cutter.arm()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await hand.complete(*claimed, result='"a-word-in-the-arguments"')
    assert cutter.cuts == 1
    assert [(await app.jobs.show(job_id)).state for job_id in ids] == ["completed"] * 5
    # By itself it would be refused; as a repetition what is mine already counts.
    assert await hand.complete(*claimed, result="1", again=True) == []
    assert [(await app.jobs.show(job_id)).result for job_id in ids] == ["a-word-in-the-arguments"] * 5
    await assert_conserved(app.database)


async def test_jobs_of_a_claim_whose_answer_was_lost_are_given_back(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    ids = await work.enqueue_many([()] * 3)
    hand = await Hand.registered(app.database)

    def lose(_rows: Any) -> Batch:
        raise ConnectionResetError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hand.hot, "_read", lose)
        with pytest.raises(ConnectionResetError):
            await hand.claim()
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 1
    hand.hot._answer_lost(hand.hot._drawn - 100, 100)
    released = await hand.hot.release_unknown()
    released += await hand.hot.release_unknown()
    await hand.hot.close()
    assert released == 3
    assert sorted(job.id for job in await hand.claim()) == sorted(ids)
    await assert_conserved(app.database)


@asynccontextmanager
async def late_reader(app: Holdfast) -> AsyncIterator[tuple[Hand, asyncio.Task[list[Claimed]], asyncio.Event]]:
    """A worker whose claim of three jobs is committed, and whose loop does not come to read the answer."""
    hand, answered, read = await Hand.registered(app.database), asyncio.Event(), asyncio.Event()
    fetch = hand.hot._fetch

    async def fetch_and_be_held_up(name: str, *params: Any) -> list[Any]:
        rows = await fetch(name, *params)
        if name in {"work", "claim"}:
            answered.set()
            await read.wait()
        return rows

    hand.hot._fetch = fetch_and_be_held_up  # type: ignore[method-assign]
    claiming = asyncio.create_task(hand.claim())
    await answered.wait()
    yield hand, claiming, read
    hand.hot._fetch = fetch  # type: ignore[method-assign]


async def test_a_claim_whose_answer_nobody_comes_to_read_is_taken_back_and_runs_once(
    app: Holdfast, outsider: Any
) -> None:
    @app.task
    async def work() -> None: ...

    ids = await work.enqueue_many([()] * 3)
    async with late_reader(app) as (hand, claiming, read):
        assert await hand.hot.take_back_unread(app.database, 60.0, timeout_seconds=5) == 0  # it is not late yet
        assert await hand.hot.take_back_unread(app.database, 0.0, timeout_seconds=5) == 3
        other = await Hand.registered(app.database)
        assert sorted(job.id for job in await other.claim()) == ids
        read.set()
        assert await claiming == [], "what had been taken back was run all the same"
    assert await hand.hot.release_unknown() == 0
    assert hand.hot.leases == []
    await assert_conserved(app.database)


async def test_a_claim_whose_answer_was_read_in_time_is_not_taken_back(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    await work.enqueue_many([()] * 3)
    async with late_reader(app) as (hand, claiming, read):
        read.set()
        claimed = await claiming
        assert await hand.hot.take_back_unread(app.database, 0.0, timeout_seconds=5) == 0
    assert await hand.complete(*claimed) == []


async def test_a_claim_taken_back_behind_the_back_of_its_loop_is_caught(
    app: Holdfast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken build: it releases the leases, and the loop runs the jobs all the same."""

    @app.task
    async def work() -> None: ...

    ids = await work.enqueue_many([()] * 3)
    monkeypatch.setattr(Asking, "withdraw", lambda *_: True)
    async with late_reader(app) as (hand, claiming, read):
        assert await hand.hot.take_back_unread(app.database, 0.0, timeout_seconds=5) == 3
        read.set()
        assert len(await claiming) == 3
    assert sorted(await hand.complete(*await claiming)) == ids  # refused, every one of them


async def test_callers_still_waiting_when_the_producer_closes_are_told(app: Holdfast, outsider: Any) -> None:
    """Nobody waits for ever: neither those on their way nor those behind them."""
    producer = Producer(app.database)
    await producer.enqueue(NewJob("t", "default", "{}", 5, 0))
    async with outsider.transaction():
        await outsider.execute("LOCK TABLE holdfast.job IN ACCESS EXCLUSIVE MODE")
        waiting = [asyncio.create_task(producer.enqueue(NewJob("t", "default", "{}", 5, 0))) for _ in range(1500)]
        await asyncio.wait(waiting, timeout=0.2)
        await producer.close(0.1)
        done, pending = await asyncio.wait(waiting, timeout=1)
        assert len(pending) <= 1  # who came first sends its own, and hears of it
        assert all("stored" in str(task.exception()) for task in done)
    finished, hanging = await asyncio.wait(waiting, timeout=10)
    assert not hanging
    stored = [task.result() for task in finished if task.exception() is None]
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.job WHERE id = ANY ($1)", stored) == len(stored)


async def test_a_producer_that_closes_waits_for_the_statement_under_way(app: Holdfast, outsider: Any) -> None:
    producer = Producer(app.database)
    job = NewJob("t", "default", "{}", 5, 0)
    await producer.enqueue(job)

    async def waits() -> bool:
        return bool(await outsider.fetchval("SELECT exists (SELECT FROM pg_locks WHERE NOT granted)"))

    async with outsider.transaction():
        await outsider.execute("LOCK TABLE holdfast.job IN ACCESS EXCLUSIVE MODE")
        enqueuing = asyncio.create_task(producer.enqueue(job))
        await eventually(waits)
        closing = asyncio.create_task(producer.close())
        await asyncio.sleep(0.1)
        assert not closing.done()
    await closing

    assert await outsider.fetchval("SELECT exists (SELECT FROM holdfast.job WHERE id = $1)", await enqueuing)


async def test_numbers_of_leases_that_were_not_used_are_drawn_again(app: Holdfast) -> None:
    """A worker has 2^36 of them, and asks many times a second whether there is work."""

    @app.task
    async def work() -> None: ...

    hand = await Hand.registered(app.database)
    leases: list[int] = []
    for _ in range(3):
        await work.enqueue()
        assert await hand.claim(1000)
        assert await hand.claim(1000) == []
        leases += hand.hot.leases[-1:]

    assert [lease - leases[0] for lease in leases] == [0, 1, 2]
