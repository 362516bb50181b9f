"""Schedules around claims that take jobs straight from before their limit, past ``ready``."""

from __future__ import annotations

from tests.interleavings.stage import Session, Stage
from tests.queue_calls import GATED, RETURN, lease_number

LIMIT = "limit:l:"
MANY = 40


async def claim_beside_a_look(stage: Stage) -> None:
    """While somebody looks, a claim neither waits nor takes from a line: both would give the same slots."""
    worker, other = await stage.sessions("worker", "other")
    number, line = await _line(worker, 50, capacity=30)
    second = await other.register("other")
    await worker.connection.execute("UPDATE holdfast.gate SET mark_rank = mark_rank - 1000000000")
    await worker.begin()
    first = [row["job_id"] for row in await worker.claim(number, lease_number(number, 2), MANY)]
    stage.expect(first == line[:30], "a claim took other jobs than the first of the line")
    urgent = await other.enqueue(gates=LIMIT, priority=0)
    claim = await other.start(other.claim(second, lease_number(second, 1), MANY))
    stage.expect(not claim.waits, "a claim waits for somebody who lets in")
    stage.expect(await claim.result() in (None, []), "two at once let in from one line")
    await worker.commit()
    stage.expect(await other.claim(second, lease_number(second, 9), MANY) == [], "a claim went past the limit")
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(running=line[:30], blocked=line[30:] + urgent)


async def claim_beside_a_duplicate(stage: Stage) -> None:
    """F11: a job before its limit whose duplicate's transaction is open is passed by, and nobody waits for it."""
    application, worker = await stage.sessions("application", "worker")
    number = await worker.register()
    await worker.limit("l", 1)
    first = await worker.enqueue(1, gates=LIMIT)
    keyed = await worker.enqueue_keyed("k", gates=LIMIT)
    line = await worker.enqueue(5, gates=LIMIT)
    await _open(worker, number, first, 30)
    await application.begin()
    stage.expect(await application.enqueue_keyed("k", gates=LIMIT) == keyed, "a job before its gate was not found")
    claim = await worker.start(worker.claim(number, lease_number(number, 2), MANY))
    stage.expect(not claim.waits, "a claim waits for an application's transaction")
    await claim.result()
    await stage.expect_places(running=line, blocked=keyed)
    await application.commit()
    await worker.admit(sweep=True)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(ready=keyed)


async def claims_one_after_another(stage: Stage) -> None:
    """Slots taken straight are counted until their jobs leave, and no longer."""
    (worker,) = await stage.sessions("worker")
    number, line = await _line(worker, 70, capacity=30)
    lease = lease_number(number, 2)
    await worker.claim(number, lease, MANY)
    await worker.claim(number, lease_number(number, 3), MANY)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(running=line[:30], blocked=line[30:])
    await worker.finish(lease, line[:20], company=line[:20])
    await worker.leave(lease, line[20:30], RETURN, flags=GATED, done=[lease])
    stage.troubles += await stage.truth.gate_troubles()
    await worker.claim(number, lease_number(number, 4), MANY)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(completed=line[:20], running=line[30:60], blocked=line[60:])


async def rescue_of_many(stage: Stage) -> None:
    """What a dead worker took straight stands before its limit again, and holds nothing."""
    worker, other = await stage.sessions("worker", "other")
    number, line = await _line(worker, 50, capacity=30)
    await other.register("other")
    await worker.claim(number, lease_number(number, 2), MANY)
    await worker.declare_dead(number)
    await other.rescue(number)
    stage.troubles += await stage.truth.gate_troubles()
    await other.admit(sweep=True)
    stage.troubles += await stage.truth.gate_troubles()
    places = await stage.truth.places(line)
    stage.expect(list(places.values()).count("ready") == 30, "the slots of a dead worker are not given to others")


async def two_leave_together(stage: Stage) -> None:
    """Two that leave one lease at once, from two threads of its worker: both give back what is theirs."""
    worker, thread = await stage.sessions("worker", "thread")
    number, line = await _line(worker, 30, capacity=30)
    lease = lease_number(number, 2)
    await worker.claim(number, lease, MANY)
    await worker.begin()
    await worker.finish(lease, line[:10], company=line[:10])
    leaving = await thread.start(thread.finish(lease, line[10:20], company=line[10:20]))
    await worker.commit()
    await leaving.result()
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(completed=line[:20], running=line[20:])


async def _line(worker: Session, jobs: int, *, capacity: int) -> tuple[int, list[int]]:
    """A registered worker, and a line that has formed before a limit which has room for ``capacity`` now."""
    number = await worker.register()
    await worker.limit("l", 1)
    first = await worker.enqueue(1, gates=LIMIT)
    line = await worker.enqueue(jobs, gates=LIMIT)
    await _open(worker, number, first, capacity)
    return number, line


async def _open(worker: Session, number: int, first: list[int], capacity: int) -> None:
    """Run the first to its end, with the others behind it in line; then let ``capacity`` pass."""
    await worker.admit()
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.finish(lease, first, company=first, done=[lease])
    await worker.limit("l", capacity)


STRAIGHT_SCHEDULES = (
    claim_beside_a_look,
    claim_beside_a_duplicate,
    claims_one_after_another,
    rescue_of_many,
    two_leave_together,
)
