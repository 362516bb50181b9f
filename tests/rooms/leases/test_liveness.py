"""Liveness against a real server, with real processes that are killed and stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from msgspec.structs import asdict, replace

from holdfast.clock import monotonic
from holdfast.db.embedded import OwnedServer
from holdfast.errors import DatabaseUnavailable
from holdfast.leases import Limits, Liveness, State, Station, WorkerFacts
from tests.rooms.leases.living import rescue
from tests.servers import DatabaseServer
from tests.waiting import eventually

# The server of a test session is young: wait less until it counts as settled.
PATIENT = Limits(settle_seconds=0.5)
HASTY = Limits(silence_seconds=2, silence_pooled_seconds=2, settle_seconds=0.5)
FACTS = WorkerFacts(name="test", queues=("default",), concurrency=1)


class Living:
    """A process of living.py, and the lines it has told."""

    def __init__(self, url: str, limits: Limits, *, pooled: bool | None = None, opaque: bool = False) -> None:
        options = {"url": url, "limits": asdict(limits), "pooled": pooled, "opaque": opaque}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("living.py")), json.dumps(options)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def worker(self) -> int | None:
        return next((int(line.split()[1]) for line in self.told if line.startswith("registered")), None)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.told.extend(line.strip() for line in iter(self.process.stdout.readline, ""))


class Told:
    """What a liveness told this process."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def liveness(self, station: Station, gate: Callable[[], bool] = lambda: True) -> Liveness:
        return Liveness(
            station.session,
            station.limits,
            on_lost=lambda _: self.words.append("lost"),
            on_cut_off=lambda: self.words.append("cut_off"),
            on_restored=lambda: self.words.append("restored"),
            beat_gate=gate,
        )


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def station(database_url: str) -> AsyncIterator[Station]:
    async with Station(database_url, limits=PATIENT, rescue=rescue) as one:
        yield one


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def living(database_url: str) -> Iterator[Callable[..., Living]]:
    started: list[Living] = []

    def start(limits: Limits = PATIENT, *, pooled: bool | None = None, opaque: bool = False) -> Living:
        started.append(Living(database_url, limits, pooled=pooled, opaque=opaque))
        return started[-1]

    yield start
    for one in started:
        one.end()


async def state_of(admin: asyncpg.Connection, worker: int | None) -> str:
    return str(await admin.fetchval("SELECT state FROM holdfast.worker WHERE id = $1", worker))


async def reason_of(admin: asyncpg.Connection, worker: int | None) -> str:
    return str(await admin.fetchval("SELECT end_reason FROM holdfast.worker WHERE id = $1", worker))


async def beats_of(admin: asyncpg.Connection, worker: int) -> int:
    return int(await admin.fetchval("SELECT beat FROM holdfast.worker_beat WHERE worker = $1", worker))


async def is_dead(admin: asyncpg.Connection, worker: int | None) -> bool:
    return await state_of(admin, worker) == "dead"


async def somebody_leads(admin: asyncpg.Connection) -> bool:
    return bool(await admin.fetchval("SELECT count(*) = 1 FROM pg_locks WHERE classid = 1212569"))


async def held(admin: asyncpg.Connection, worker: int) -> bool:
    return bool(await admin.fetchval("SELECT session_held FROM holdfast.observe_v1() WHERE worker = $1", worker))


def stands(station: Station, generation: int) -> bool:
    return station.session.generation == generation and station.session.connected


async def cut(admin: asyncpg.Connection, pid: int | None) -> None:
    await admin.fetchval("SELECT pg_terminate_backend($1)", pid)


async def test_a_terminated_session_comes_back_and_nobody_dies(
    station: Station, admin: asyncpg.Connection, told: Told
) -> None:
    worker = await told.liveness(station).register(FACTS)
    for generation in range(2, 6):
        await cut(admin, station.session.backend_pid)
        await eventually(partial(stands, station, generation))
        assert await held(admin, worker)
    beats = await beats_of(admin, worker)
    await eventually(lambda: station.observer.leading)
    # Longer than the grace, so that somebody who was missed would be dead by now.
    await eventually(partial(_more, admin, worker, beats))

    assert not await is_dead(admin, worker)
    assert told.words == []


async def _more(admin: asyncpg.Connection, worker: int, beats: int) -> bool:
    return await beats_of(admin, worker) > beats + 1


async def test_out_of_reach_it_is_cut_off_and_comes_back_under_its_number(
    station: Station, admin: asyncpg.Connection, told: Told, database_url: str, server: DatabaseServer
) -> None:
    liveness = told.liveness(station)
    worker = await liveness.register(FACTS)
    name = urlsplit(database_url).path.lstrip("/")
    # Nobody can do that to the database he is connected to.
    elsewhere = await asyncpg.connect(server.url)
    await elsewhere.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
    await cut(admin, station.session.backend_pid)

    await eventually(lambda: told.words == ["cut_off"])
    assert not liveness.may_work()
    await elsewhere.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
    await elsewhere.close()
    await eventually(lambda: told.words == ["cut_off", "restored"])

    assert liveness.may_work()
    assert liveness.worker == worker
    assert await held(admin, worker)


async def test_declared_dead_it_is_told_with_the_next_beat(
    station: Station, admin: asyncpg.Connection, told: Told
) -> None:
    liveness = told.liveness(station)
    worker = await liveness.register(FACTS)
    await admin.fetchval("SELECT holdfast.declare_dead_v1($1, 'by hand')", worker)

    await eventually(lambda: told.words == ["lost"])
    assert not liveness.may_work()


async def test_a_beat_refused_while_it_leaves_is_no_loss(
    station: Station, admin: asyncpg.Connection, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    liveness = told.liveness(station)
    worker = await liveness.register(FACTS)
    ask, refused = station.session.value, asyncio.Event()
    answers: list[object] = []

    async def lose_the_first_answer(statement: str, *params: object) -> object:
        answer = await ask(statement, *params)
        if statement == "declare_dead" and not answers:
            answers.append(answer)
            await refused.wait()
            raise DatabaseUnavailable("the answer was lost")
        if statement == "beat" and answers:
            refused.set()
        return answer

    monkeypatch.setattr(station.session, "value", lose_the_first_answer)

    assert await liveness.retire("stopped", 10)
    assert refused.is_set()
    assert told.words == []
    assert await reason_of(admin, worker) == "stopped"


async def test_it_retires_and_lets_go_of_its_number(station: Station, admin: asyncpg.Connection, told: Told) -> None:
    liveness = told.liveness(station)
    worker = await liveness.register(FACTS)

    assert await liveness.retire("stopped", 5)
    assert await reason_of(admin, worker) == "stopped"
    assert await admin.fetchval("SELECT count(*) FROM pg_locks WHERE classid = 1212568") == 0
    assert told.words == []


@pytest.mark.parametrize("opaque", [False, True], ids=["same machine", "elsewhere"])
async def test_a_killed_process_is_dead_within_two_seconds(
    station: Station, admin: asyncpg.Connection, living: Callable[..., Living], *, opaque: bool
) -> None:
    one = living(opaque=opaque)
    await eventually(lambda: one.worker is not None and station.observer.leading)
    # Past the time for which a young server is trusted with nothing.
    await eventually(lambda: len(one.told) > 2)
    one.process.kill()
    killed_at = monotonic()

    await eventually(partial(is_dead, admin, one.worker))
    assert monotonic() - killed_at < 2.0
    assert ("process has ended" in await reason_of(admin, one.worker)) is not opaque


async def test_a_stopped_process_is_dead_after_its_silence_and_knows_it_first_of_all(
    database_url: str, admin: asyncpg.Connection, living: Callable[..., Living]
) -> None:
    async with Station(database_url, limits=HASTY, rescue=rescue) as station:
        one = living(HASTY)
        await eventually(lambda: one.told.count("beat") >= 2 and station.observer.leading)
        one.process.send_signal(signal.SIGSTOP)
        await eventually(partial(is_dead, admin, one.worker))
        told = len(one.told)
        one.process.send_signal(signal.SIGCONT)
        await eventually(lambda: len(one.told) > told)

        assert await reason_of(admin, one.worker) == "it was silent for 2 s"
        assert one.told[told].startswith("lost silent for")
        assert "beat" not in one.told[told:]


async def test_a_short_stop_costs_nothing(
    database_url: str, admin: asyncpg.Connection, living: Callable[..., Living]
) -> None:
    limits = replace(HASTY, silence_seconds=20, beat_seconds=0.2)
    async with Station(database_url, limits=limits, rescue=rescue) as station:
        one = living(limits)
        await eventually(lambda: one.worker is not None and station.observer.leading)
        one.process.send_signal(signal.SIGSTOP)
        assert one.worker is not None
        beats = await beats_of(admin, one.worker)
        await asyncio.wait_for(_looks(station, 10), 10)
        one.process.send_signal(signal.SIGCONT)
        worker = one.worker
        await eventually(partial(_more, admin, worker, beats))

        assert not await is_dead(admin, worker)
        assert not any(line.startswith(("lost", "cut_off")) for line in one.told)


async def _looks(station: Station, count: int) -> None:
    """Let the observer look so many times more."""
    judge, seen = station.observer._judgement, asyncio.Semaphore(0)
    look = judge.look

    def counted(*args: object) -> object:
        seen.release()
        return look(*args)  # type: ignore[arg-type]

    judge.look = counted  # type: ignore[method-assign,assignment]
    for _ in range(count):
        await seen.acquire()
    judge.look = look  # type: ignore[method-assign]


async def test_one_observer_leads_and_another_takes_over_when_it_is_killed(
    database_url: str, admin: asyncpg.Connection, living: Callable[..., Living]
) -> None:
    first = living(opaque=True)
    await eventually(lambda: first.worker is not None)
    await eventually(partial(somebody_leads, admin))
    async with Station(database_url, limits=PATIENT, rescue=rescue) as station:
        await eventually(lambda: len(first.told) > 2)
        assert not station.observer.leading
        first.process.kill()

        await eventually(lambda: station.observer.leading, within_seconds=2)
        await eventually(partial(is_dead, admin, first.worker))


async def test_the_work_of_the_dead_comes_back_also_what_they_claimed_late(
    station: Station, admin: asyncpg.Connection, told: Told
) -> None:
    worker = await told.liveness(station).register(FACTS)
    jobs = [await admin.fetchval("SELECT holdfast.enqueue('task', queue => 'default')") for _ in range(2)]
    await _lease(admin, worker << 36 | 1, jobs[0])
    assert await station.observer.end(worker, "by hand")
    await eventually(partial(_is_ready, admin, jobs[0]))

    await _lease(admin, worker << 36 | 2, jobs[1])
    await eventually(partial(_is_ready, admin, jobs[1]))


async def _lease(admin: asyncpg.Connection, lease: int, job: int) -> None:
    """As a claim would, whose worker died before it got the answer."""
    async with admin.transaction():
        await admin.execute("DELETE FROM holdfast.ready WHERE job_id = $1", job)
        await admin.execute(
            "INSERT INTO holdfast.lease (id, job_ids, claimed_at) VALUES ($1, ARRAY[$2::bigint], holdfast.now())",
            lease,
            job,
        )


async def _is_ready(admin: asyncpg.Connection, job: int) -> bool:
    return bool(await admin.fetchval("SELECT EXISTS (SELECT FROM holdfast.ready WHERE job_id = $1)", job))


async def test_without_a_session_silence_alone_decides(
    database_url: str, admin: asyncpg.Connection, living: Callable[..., Living]
) -> None:
    limits = replace(HASTY, observe_pooled_seconds=0.3)
    async with Station(database_url, pooled=True, limits=limits, rescue=rescue) as station:
        assert not station.session.direct
        one = living(limits, pooled=True, opaque=True)
        await eventually(lambda: one.told.count("beat") >= 2)
        assert not await is_dead(admin, one.worker)
        one.process.kill()

        await eventually(partial(is_dead, admin, one.worker))
        assert await reason_of(admin, one.worker) == "it was silent for 2 s"


async def test_withheld_beats_are_the_end_after_the_silence(
    database_url: str, admin: asyncpg.Connection, told: Told
) -> None:
    async with Station(database_url, limits=HASTY, rescue=rescue) as station:
        worker = await told.liveness(station, lambda: False).register(FACTS)

        await eventually(partial(is_dead, admin, worker))
        await eventually(lambda: told.words == ["lost"])


async def test_a_crash_of_the_server_kills_no_worker(durable_server: OwnedServer, durable_database_url: str) -> None:
    told = Told()
    async with Station(durable_database_url, limits=PATIENT, rescue=rescue) as station:
        liveness = told.liveness(station)
        worker = await liveness.register(FACTS)
        durable_server.crash()
        await eventually(lambda: told.words == ["cut_off"])
        durable_server.start()
        await eventually(lambda: told.words == ["cut_off", "restored"], within_seconds=30)
        assert liveness.state is State.LIVE

        admin = await asyncpg.connect(durable_database_url)
        beats = await beats_of(admin, worker)
        await eventually(partial(_more, admin, worker, beats))
        assert not await is_dead(admin, worker)
        await admin.close()
