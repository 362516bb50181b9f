"""Worker processes to kill, a load to put on them, and the history of both."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Statement
from holdfast.errors import HoldfastError
from holdfast.jobs import NewJob, Producer
from tests.acceptance.history import History
from tests.waiting import eventually

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
TRANSACTIONAL = ("pay", "pay_stubbornly")
_FLAGS = dict.fromkeys(TRANSACTIONAL, 1)
_MOST_WAITING = 300
_WAITING = Statement(
    "waiting",
    "select count(*) from (select from holdfast.ready union all select from holdfast.blocked"
    f" limit {_MOST_WAITING}) as waiting",
)
_STATES = {1: "completed", 2: "failed", 3: "cancelled"}


def soak_seconds() -> int:
    """How long a nemesis is to strike; 0 in `make test`."""
    return int(float(os.environ.get("HOLDFAST_TEST_SOAK_SECONDS", "0")))


def rounds(few: int) -> int:
    """How often a nemesis strikes: few times in `make test`; in `make soak` about once a second for so long."""
    return max(few, soak_seconds())


def patience(seconds: int) -> pytest.MarkDecorator:
    """The time limit of a test, with what a soak adds."""
    return pytest.mark.timeout(seconds + 5 * soak_seconds())


def dice() -> random.Random:
    """The same throws every time, but for a soak."""
    return random.Random(None if soak_seconds() else 20251121)


class Fleet:
    """Worker processes of the application under test, on one database."""

    def __init__(self, url: str, folder: Path, **settings: object) -> None:
        self.url = url
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DATABASE_"))},
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "HOLDFAST_DATABASE_URL": url,
            "HOLDFAST_TEST_FOLDER": str(folder),
            **{f"HOLDFAST_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def start(self, count: int = 1) -> None:
        for _ in range(count):
            self.processes.append(self._spawn())

    def replace(self, index: int) -> None:
        """Reap one that has ended, and start another in its place."""
        self.processes[index].wait(15)
        self.processes[index] = self._spawn()

    def signal(self, index: int, number: signal.Signals) -> None:
        self.processes[index].send_signal(number)

    def end(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.processes:
            process.wait(10)

    @property
    def said(self) -> str:
        return (self.folder / "workers.log").read_text(encoding="utf-8")

    def log_bytes(self) -> int:
        """The length of the log of executions: more of it, and something has begun."""
        log = self.folder / "executions.log"
        return log.stat().st_size if log.exists() else 0

    def executions(self) -> list[tuple[int, int, int]]:
        """Job id, request and pid of every execution that began."""
        log = self.folder / "executions.log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [(int(job), int(n), int(pid)) for job, n, pid in map(str.split, lines)]

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.folder / "workers.log").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, str(HERE / "app_under_test.py")], env=self._environment, stdout=said, stderr=said
            )


class Load:
    """Callers who enqueue and remember what they were told."""

    def __init__(self, url: str) -> None:
        self.history = History()
        self._database = Database(url)
        self._producer = Producer(self._database)
        self._numbers = 0
        self._callers: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        for caller in self._callers:
            caller.cancel()
        await self._producer.close(1.0)
        await self._database.close(1.0)

    async def enqueue(self, task: str, gates: str | None = None) -> int | None:
        """One request; returns the job id if it was acknowledged. ``gates``: one a line."""
        n = self._numbers = self._numbers + 1
        self.history.unknown.add(n)
        try:
            job = await self._producer.enqueue(new_job(task, n, gates))
        except (*DRIVER_ERRORS, HoldfastError):
            return None
        self.history.unknown.discard(n)
        self.history.acknowledged[n] = job
        if task in TRANSACTIONAL:
            self.history.transactional.add(job)
        return job

    def begin(
        self,
        callers: int,
        tasks: tuple[str, ...] = ("pay", "ping"),
        most: int = 10_000,
        gates: Callable[[int, int], str | None] = lambda _caller, _turn: None,
    ) -> None:
        """Callers that enqueue one after the other until ``enough``, and hold back while a lot waits already."""

        async def call(caller: int) -> None:
            for turn in range(most):
                await self.enqueue(tasks[turn % len(tasks)], gates(caller, turn))
                await asyncio.sleep(0.01)
                if turn % 20 == 0:
                    await eventually(self.is_room, within_seconds=600)

        self._callers += [asyncio.create_task(call(caller)) for caller in range(callers)]

    async def is_room(self) -> bool:
        """Whether the workers keep up: a soak is to last as long as its nemesis, not as long as its backlog."""
        try:
            return int(await self._database.fetchval(_WAITING, timeout_seconds=5)) < _MOST_WAITING
        except asyncpg.SyntaxOrAccessError:
            raise  # no server that is away
        except (*DRIVER_ERRORS, HoldfastError):
            return True

    async def enough(self) -> None:
        """No new requests; those under way are answered, or not, within the producer's own limit."""
        for caller in self._callers:
            caller.cancel()
        for ended in await asyncio.gather(*self._callers, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), ended


def new_job(task: str, n: int, gates: str | None = None) -> NewJob:
    flags = _FLAGS.get(task, 0)
    return NewJob(queue="default", task=task, args=f'{{"n": {n}}}', priority=5, flags=flags, gates=gates)


async def come_to_rest(url: str, load: Load, fleet: Fleet, *, within_seconds: float = 45) -> History:
    """Wait until nothing is under way any more; what is left then is judged by the checkers."""
    history = load.history
    connection = await asyncpg.connect(url)
    try:

        async def at_rest() -> bool:
            left = await connection.fetchval(
                "select (select count(*) from holdfast.ready) + (select count(*) from holdfast.scheduled)"
                " + (select count(*) from holdfast.blocked)"
                " + (select count(*) from holdfast.lease l where exists (select from unnest(l.job_ids) as h(job)"
                " where not holdfast.is_finished_v1(h.job)))"
            )
            return int(left) == 0

        try:
            await eventually(at_rest, within_seconds=within_seconds)
        except Exception as error:  # a wait that ran out is no AssertionError
            raise AssertionError(f"{error}; left: {await what_is_left(connection)}") from error
        await read_database(connection, history)
        assert await connection.fetch("select * from holdfast.audit_v1()") == []
    finally:
        await connection.close()
    history.executions = [job for job, _, _ in fleet.executions()]
    return history


async def what_is_left(connection: asyncpg.Connection[asyncpg.Record]) -> list[str]:
    """Jobs that have not ended, by where they stand and before which gate; taken slots; workers."""
    rows = await connection.fetch(
        """select 'ready' as what, count(*) as n from holdfast.ready
           union all select 'scheduled, attempt ' || attempt || ', due in ' || due_at - holdfast.now(), 1
               from holdfast.scheduled
           union all select 'blocked before ' || gate || ', jobs with ' || replace(gates, E'\\n', ' + '), count(*)
               from holdfast.blocked group by gate, gates
           union all select 'slots of ' || gate, count(*) from holdfast.every_slot group by gate
           union all select 'leased to worker ' || (l.id >> 36), sum(cardinality(l.job_ids))
               from holdfast.lease l group by l.id >> 36
           union all select 'live worker ' || w.id || ', silent for ' || (holdfast.now() - b.beaten_at)::text, 1
               from holdfast.worker w left join holdfast.worker_beat b on b.worker = w.id where w.state = 'live'"""
    )
    return [f"{row['what']}: {row['n']}" for row in rows if row["n"]]


async def read_database(connection: asyncpg.Connection[asyncpg.Record], history: History) -> None:
    jobs = await connection.fetch("select id, task, (args->>'n')::integer as n from holdfast.every_job")
    history.jobs = [(row["id"], row["n"]) for row in jobs]
    history.transactional |= {row["id"] for row in jobs if row["task"] in TRANSACTIONAL}
    outcomes = await connection.fetch("select job_id, state from holdfast.every_outcome")
    history.ended = {row["job_id"]: _STATES[row["state"]] for row in outcomes}
    history.ledger = [row["job_id"] for row in await connection.fetch("select job_id from ledger")]


async def strike(times: int, every_seconds: float, blow: Callable[[int], Awaitable[object]]) -> None:
    """A nemesis: strikes so often, at its own pace, whatever the others do."""
    for turn in range(times):
        struck_at = monotonic()
        await blow(turn)
        await asyncio.sleep(max(0.0, every_seconds - (monotonic() - struck_at)))
