"""F3, F10: the line is cut after every single byte of an answer; every job still ends once, within three looks.

After some of them in `make test`, after each one in `make soak`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, classify
from holdfast.jobs import Claimed, Finished, HotPath, NewJob, Outcome, Producer
from tests.rooms.jobs.hand import Hand

SOME = 14
_LOOKS = 3
_WORKER = "SELECT holdfast.register_worker_v1('w', 'h', 1, 'i', '0', ARRAY['default'], 1, false)"


class Scissors:
    """A line to the server that lets through so many bytes of what the server says from now on, and is cut then."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._left: int | None = None
        self._passed = 0
        self.longest = 0
        self.cuts = 0
        self.url = ""

    @asynccontextmanager
    async def open(self, after: int | None) -> AsyncIterator[None]:
        """Cut the answer to what is asked in here after so many bytes; None: let it pass, and measure it."""
        self._left, self._passed = after, 0
        yield
        self._left = None
        self.longest = max(self.longest, self._passed)

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Scissors]:
        lines: set[asyncio.Task[None]] = set()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            lines.add(asyncio.create_task(self._carry(reader, writer)))

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        login = self._target.netloc.rpartition("@")[0]
        self.url = self._target._replace(netloc=f"{login}@127.0.0.1:{server.sockets[0].getsockname()[1]}").geturl()
        try:
            yield self
        finally:
            server.close()
            for line in lines:
                line.cancel()
            await asyncio.gather(*lines, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(self._target.hostname, self._target.port)
        there = asyncio.create_task(self._questions(reader, to_server))
        try:
            with suppress(OSError):
                while data := await from_server.read(1 << 16):
                    if self._left is not None and len(data) > self._left:
                        writer.write(data[: self._left])
                        self._left = None
                        self.cuts += 1
                        await writer.drain()
                        return
                    if self._left is not None:
                        self._left -= len(data)
                    self._passed += len(data)
                    writer.write(data)
                    await writer.drain()
        finally:
            there.cancel()
            writer.close()
            to_server.transport.abort()

    async def _questions(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                to_server.write(data)
                await to_server.drain()


class Trial:
    """One statement whose answer is cut, and what has to be true afterwards. ``line`` is the cut one."""

    def __init__(self, line: Database, outsider: Any) -> None:
        self.line = line
        self.outsider = outsider
        self.producer = Producer(line)

    async def worker(self) -> Hand:
        """A new worker whose statements are prepared on the line, so that the cut meets an answer and nothing else."""
        hand = Hand(self.line, await self.outsider.fetchval(_WORKER), ("default",))
        hand.hot = HotPath(self.line, hand.worker, ("default",), timeout_seconds=10)
        await until_answered(lambda: hand.hot.work([], 1))
        hand.hot._over.append(hand.worker << 36)  # a lease to end, as if it had had one
        await until_answered(lambda: hand.hot.work([], 1))
        return hand

    async def jobs(self) -> list[int]:
        return [await self.outsider.fetchval("SELECT holdfast.enqueue('t', queue => 'default')") for _ in range(3)]

    async def ends(self, ids: Sequence[int]) -> None:
        """Each of the jobs has ended exactly once, nothing else is there, and no lease is left."""
        rows = await self.outsider.fetch("SELECT job_id, state FROM holdfast.outcome ORDER BY job_id")
        assert [(row["job_id"], row["state"]) for row in rows] == [(job, 1) for job in sorted(ids)]
        assert await self.outsider.fetch("SELECT * FROM holdfast.audit_v1()") == []
        assert await self.outsider.fetchval("SELECT count(*) FROM holdfast.lease") == 0
        assert await self.outsider.fetchval("SELECT count(*) FROM holdfast.job") == len(ids)
        await self.outsider.execute("TRUNCATE holdfast.job, holdfast.outcome, holdfast.tally_delta")

    async def run_what_comes(self, hand: Hand, ids: Sequence[int], *, done: list[Claimed]) -> None:
        """As a worker goes on after a fault: repeat what has no answer, look for lost leases, claim, complete."""
        finished = [completed(job) for job in done]
        assert await until_answered(lambda: hand.hot.finish(finished, again=True)) == []
        for _ in range(_LOOKS):
            await hand.hot.release_unknown()
            hand.hot.order.distrust_hints()
            batch = await hand.hot.work([], 10)
            assert not batch.dead
            assert await hand.hot.finish([completed(job) for job in batch.claimed]) == []
        await hand.hot.finish([])
        await hand.hot.close()
        await self.ends(ids)


def completed(job: Claimed) -> Finished:
    return Finished(job, Outcome.COMPLETED, monotonic(), 0.0, result='{"a": "result of some length"}')


async def until_answered(call: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat until there is an answer, as the pump does."""
    while True:
        try:
            return await call()
        except DRIVER_ERRORS as error:
            if not classify(error).of_connection:
                raise


Cut = Callable[[], AbstractAsyncContextManager[None]]


async def claim(trial: Trial, cut: Cut) -> None:
    """The answer of a claim: what is leased and not known of is given back."""
    hand, ids = await trial.worker(), await trial.jobs()
    hand.hot.order.distrust_hints()
    got: list[Claimed] = []
    async with cut():
        with suppress(*DRIVER_ERRORS):
            got = (await hand.hot.work([], 10)).claimed
    await trial.run_what_comes(hand, ids, done=got)


async def finish_and_claim(trial: Trial, cut: Cut) -> None:
    """The answer of the merged call: the completion counts when it is repeated, the claim is given back."""
    hand, ids = await trial.worker(), await trial.jobs()
    hand.hot.order.distrust_hints()
    unwritten = (await hand.hot.work([], 1)).claimed
    async with cut():
        with suppress(*DRIVER_ERRORS):
            unwritten = (await hand.hot.work([completed(job) for job in unwritten], 10)).claimed
    await trial.run_what_comes(hand, ids, done=unwritten)


async def enqueue(trial: Trial, cut: Cut) -> None:
    """The answer of an enqueue: it is repeated with the same id."""
    hand = await trial.worker()
    ids = [await trial.producer.enqueue(NewJob("t", "default", "{}", 5, 0))]
    async with cut():
        ids.append(await trial.producer.enqueue(NewJob("t", "default", "{}", 5, 0)))
    await trial.run_what_comes(hand, ids, done=[])


STATEMENTS = [claim, finish_and_claim, enqueue]
Play = Callable[[Trial, Cut], Awaitable[None]]


async def cut_everywhere(url: str, outsider: Any, play: Play, *, most: int) -> int:
    """Play it once to measure the answer, then once for each of its bytes, or for so many; says how many were cut."""
    async with Scissors(url).laid() as scissors, Database(scissors.url) as line:
        trial = Trial(line, outsider)
        await play(trial, partial(scissors.open, None))
        for position in range(0, scissors.longest, max(1, scissors.longest // most)):
            await play(trial, partial(scissors.open, position))
        await trial.producer.close()
        return scissors.cuts


@pytest.mark.parametrize("play", STATEMENTS, ids=lambda play: play.__name__)
async def test_an_answer_cut_somewhere_costs_no_job(database_url: str, outsider: Any, play: Play) -> None:
    assert await cut_everywhere(database_url, outsider, play, most=SOME) >= SOME // 2


@pytest.mark.soak
@pytest.mark.parametrize("play", STATEMENTS, ids=lambda play: play.__name__)
async def test_an_answer_cut_at_any_byte_costs_no_job(database_url: str, outsider: Any, play: Play) -> None:
    assert await cut_everywhere(database_url, outsider, play, most=100_000) > 3 * SOME


async def test_a_worker_that_does_not_look_for_its_leases_is_caught(
    database_url: str, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(_: HotPath) -> int:
        return 0

    monkeypatch.setattr(HotPath, "release_unknown", nothing)
    with pytest.raises(AssertionError):
        await cut_everywhere(database_url, outsider, claim, most=SOME)


async def test_a_completion_repeated_as_if_it_were_the_first_is_caught(
    database_url: str, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = HotPath.finish

    async def finish(hot: HotPath, finished: list[Finished], *, again: bool = False) -> list[int]:
        return await usual(hot, finished)

    monkeypatch.setattr(HotPath, "finish", finish)
    with pytest.raises((AssertionError, asyncpg.UniqueViolationError)):
        async with asyncio.timeout(20):
            await cut_everywhere(database_url, outsider, finish_and_claim, most=SOME)
