"""F4: a worker is killed inside every statement of its loop, at every point where another statement begins there.

Each function of the worker is stopped at a gate between two of its statements; the connection of the worker is cut
there, as the kernel does it for a killed process, and the worker is declared dead while its backend still stands at the
gate, or after. When everything is quiet both laws hold and every job can be run to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from tests.interleavings.broken_builds import CLAIM_WITHOUT_WORKER, COMPLETION_WITHOUT_LOCK, EXIT_WITHOUT_LOCK
from tests.interleavings.gate import DIES, GATE, WAIT, gated
from tests.interleavings.stage import Mutation, Session, Stage
from tests.queue_calls import PRIORITY, QUEUE, RETRY, SOLO, lease_number
from tests.waiting import eventually

Call = Callable[[Session, "Dying"], Coroutine[Any, Any, None]]


@dataclass
class Dying:
    """A worker with a lease of two jobs and a lease of its own for a transactional one, and two jobs ready."""

    number: int
    lease: int
    jobs: list[int]
    solo: int


async def claim(session: Session, dying: Dying) -> None:
    await session.claim(dying.number, lease_number(dying.number, 10))


async def work(session: Session, dying: Dying) -> None:
    count = 1
    await session.rows(
        "work_v1",
        *([dying.lease] * count, dying.jobs[:1], [1], [1], [0], [0], None, None, [QUEUE], [1], [], False),
        *(dying.number, lease_number(dying.number, 10), 10, [QUEUE], [PRIORITY], [0]),
    )


async def finish(session: Session, dying: Dying) -> None:
    await session.finish(dying.lease, dying.jobs, done=[dying.lease])


async def finish_again(session: Session, dying: Dying) -> None:
    await session.finish(dying.lease, dying.jobs, done=[dying.lease], again=True)


async def leave(session: Session, dying: Dying) -> None:
    await session.leave(dying.lease, dying.jobs, RETRY, delay_seconds=60, attempt=2, done=[dying.lease])


async def finish_solo(session: Session, dying: Dying) -> None:
    await session.finish_solo(lease_number(dying.number, 2), dying.solo)


async def release(session: Session, dying: Dying) -> None:
    await session.value("release_lease_v1", dying.lease)


async def promote(session: Session, _: Dying) -> None:
    await session.rows("promote_v1", await session.connection.fetchval("select '-infinity'::timestamptz"), 10)


async def marks(session: Session, _: Dying) -> None:
    await session.rows("marks_v1", [QUEUE], [PRIORITY], [0], 1, [])


async def fold(session: Session, _: Dying) -> None:
    await session.value("fold_v1")


async def sweep(session: Session, _: Dying) -> None:
    await session.value("sweep_v1", 100)


async def rescue(session: Session, dying: Dying) -> None:
    other = await session.register("somebody who died before")
    job = (await session.enqueue(1, queue="other"))[0]
    await session.claim(other, lease_number(other, 1), levels=(["other"], [PRIORITY], [0]))
    await session.declare_dead(other)
    await session.value("rescue_v1", other, 3)
    dying.jobs.append(job)


LOOP: tuple[tuple[str, Call], ...] = (
    ("claim_v1", claim),
    ("payload_v1", claim),
    ("work_v1", work),
    ("finish_v1", finish),
    ("finish_carefully_v1", finish_again),
    ("end_leases_v1", finish),
    ("leave_v1", leave),
    ("finish_solo_v1", finish_solo),
    ("release_lease_v1", release),
    ("rescue_v1", rescue),
    ("rescue_lease_v1", rescue),
    ("promote_v1", promote),
    ("marks_v1", marks),
    ("fold_v1", fold),
    ("sweep_v1", sweep),
)


async def dying_worker(stage: Stage) -> tuple[Session, Dying]:
    """Its session, and what it has to lose. The scheduled job is due."""
    (session,) = await stage.sessions("the worker that is killed")
    await session.connection.execute(f"set {DIES} = 'here'")
    number = await session.register()
    jobs, (solo,) = await session.enqueue(2), await session.enqueue(1, flags=SOLO)
    await session.claim(number, lease_number(number, 1))
    await session.enqueue(2)
    await session.enqueue(1, delay_seconds=0.000001)
    await stage.watch.execute("insert into holdfast.tally_delta (queue, completed) values ($1, 1)", QUEUE)
    return session, Dying(number, lease_number(number, 1), jobs, solo)


async def killed_at_the_gate(stage: Stage, call: Call, *, declared_first: bool, rescue_again: bool = True) -> bool:
    """Run the call into the gate, cut its connection there, and let others take over; says whether it came there."""
    rescuer, gate = await stage.sessions("rescuer", "gate")
    session, dying = await dying_worker(stage)
    await gate.connection.execute(f"select pg_advisory_lock({GATE}, 0)")
    step = await session.start(call(session, dying))
    reached = step.waits
    session.connection.terminate()
    if declared_first and reached:
        # The backend stands in its statement still. What it locked makes others ask again, never wait.
        declaring = await rescuer.start(rescuer.declare_dead(dying.number))
        stage.expect(not declaring.waits, "declaring a killed worker dead waits for its last statement")
        await declaring.result()
        rescuing = await rescuer.start(rescuer.rescue(dying.number))
        stage.expect(not rescuing.waits, "a rescue waits for the last statement of a killed worker")
        await rescuing.result()
    await gate.connection.execute(f"select pg_advisory_unlock({GATE}, 0)")
    await step.abandoned()
    await eventually(lambda: gone(stage, session.pid))
    await bring_to_rest(stage, rescuer, again=rescue_again or not declared_first)
    return reached


async def gone(stage: Stage, pid: int) -> bool:
    return not await stage.watch.fetchval("select exists (select from pg_stat_activity where pid = $1)", pid)


async def bring_to_rest(stage: Stage, rescuer: Session, *, again: bool) -> None:
    """What observers and workers do: declare, rescue again and again, then run whatever can be run."""
    for row in await rescuer.connection.fetch("select id from holdfast.worker where state = 'live'"):
        await rescuer.declare_dead(row["id"])
    for _ in range(3 if again else 0):
        for row in await rescuer.rows("workers_to_rescue_v1"):
            await rescuer.rescue(row[0])
    stage.expect(not await rescuer.rows("workers_to_rescue_v1"), "the killed worker still holds a lease")
    stage.troubles += await stage.truth.audit()
    number = await rescuer.register("who comes after", queues=(QUEUE, "other"))
    lease = lease_number(number, 1)
    levels = ([QUEUE, "other"], [PRIORITY, PRIORITY], [0, 0])
    claimed = await rescuer.claim(number, lease, 100, levels=levels)
    stage.expect(bool(claimed), "nothing is left to be run")
    for row in claimed:
        done = [row["lease"]] if row["lease"] != lease else []
        completing = await rescuer.start(rescuer.finish(row["lease"], [row["job_id"]], done=done))
        stage.expect(await completing.result() == [], "what was put back could not be completed")
    await rescuer.finish(lease, [], done=[lease])
    left = await stage.watch.fetch("select job_id from holdfast.ready")
    stage.expect(not left, f"{len(left)} jobs stand in ready and cannot be claimed")
    stage.troubles += await stage.truth.audit()


@pytest.mark.parametrize("declared_first", [True, False], ids=["declared dead at the gate", "declared dead after"])
@pytest.mark.parametrize(("function", "call"), LOOP, ids=lambda value: value if isinstance(value, str) else "")
async def test_a_worker_killed_inside_a_statement_loses_and_doubles_nothing(
    database_url: str, function: str, call: Call, *, declared_first: bool
) -> None:
    async with Stage(database_url) as stage:
        reached = 0
        for text in await gated(stage, function):
            await stage.watch.execute(text)
            reached += await killed_at_the_gate(stage, call, declared_first=declared_first)
            assert stage.troubles == [], text[text.index(WAIT) :][:200]
        assert reached, "nobody was ever killed"


@pytest.mark.parametrize(
    ("broken", "function", "call", "rescue_again"),
    [
        (COMPLETION_WITHOUT_LOCK, "finish_v1", finish, True),
        (EXIT_WITHOUT_LOCK, "leave_v1", leave, True),
        (CLAIM_WITHOUT_WORKER, "claim_v1", claim, False),
    ],
    ids=["completion without a lock", "exit without a lock", "one rescue for each dead worker"],
)
async def test_a_broken_build_does_not_survive_the_kill(
    database_url: str, broken: Mutation, function: str, call: Call, *, rescue_again: bool
) -> None:
    async with Stage(database_url) as stage:
        await stage.install(broken)
        for text in await gated(stage, function):
            await stage.watch.execute(text)
            await killed_at_the_gate(stage, call, declared_first=True, rescue_again=rescue_again)

        assert stage.troubles
