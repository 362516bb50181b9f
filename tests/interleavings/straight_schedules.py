"""Schedules around claims that take jobs straight from before their limit, past ``ready``."""

from __future__ import annotations

from typing import Any

from tests.interleavings.stage import Mutation, Session, Stage
from tests.queue_calls import GATED, RETURN, lease_number

LIMIT = "limit:l:"
LANE = "lane:x"
MANY = 40
_LATER = 4


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


async def lane_goes_on_beside_a_look(stage: Stage) -> None:
    """The call that ends a head takes the next of its lane; who looks meanwhile neither waits nor lets in another."""
    worker, other = await stage.sessions("worker", "other")
    number, head = await _head(worker)
    following = await worker.enqueue(2, gates=LANE)
    await other.register("other")
    await worker.begin()
    rows = await worker.go_on(lease_number(number, 1), head, number, lease_number(number, 2))
    stage.expect(_jobs(rows) == following[:1], "a lane does not go on with the call that ends its head")
    look = await other.start(other.admit(sweep=True))
    stage.expect(not look.waits, "a look waits for a claim")
    stage.expect(await look.result() is None, "somebody lets in beside a claim that goes on in a lane")
    await worker.commit()
    await other.admit(sweep=True)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(completed=head, running=following[:1], blocked=following[1:])


async def lane_kept_beside_a_look(stage: Stage) -> None:
    """A worker comes back for a lane while somebody looks: it takes nothing, and comes back once more."""
    worker, other = await stage.sessions("worker", "other")
    number, head = await _head(worker)
    following = await worker.enqueue(2, gates=LANE)
    await worker.finish(lease_number(number, 1), head, company=head, done=[lease_number(number, 1)])
    await other.begin()
    stage.expect(await other.admit(sweep=True) == 1, "a free lane let nobody in")
    claim = await worker.start(worker.claim(number, lease_number(number, 2), kept=[LANE]))
    stage.expect(not claim.waits, "a claim waits for somebody who lets in")
    later = [row["args"] for row in await claim.result() or [] if row["kind"] == _LATER]
    stage.expect(later == [LANE], "a claim went to its lane while somebody looked")
    await other.commit()
    rows = await worker.claim(number, lease_number(number, 3), kept=[LANE])
    stage.expect(_jobs(rows) == following[:1], "a lane that a look has served was served again")
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(completed=head, running=following[:1], blocked=following[1:])


async def lane_whose_next_is_held(stage: Stage) -> None:
    """F11: the next of a lane is held by the transaction of its duplicate: nobody waits, nobody overtakes it."""
    application, worker = await stage.sessions("application", "worker")
    number, head = await _head(worker)
    keyed = await worker.enqueue_keyed("k", gates=LANE)
    last = await worker.enqueue(gates=LANE)
    await application.begin()
    stage.expect(await application.enqueue_keyed("k", gates=LANE) == keyed, "a job before its gate was not found")
    call = await worker.start(worker.go_on(lease_number(number, 1), head, number, lease_number(number, 2)))
    stage.expect(not call.waits, "the end of a job waits for an application's transaction")
    stage.expect(_jobs(await call.result() or []) == [], "a job overtook in its lane")
    await application.commit()
    await worker.admit(sweep=True)
    await stage.expect_places(completed=head, ready=keyed, blocked=last)


async def lane_goes_on_below_its_lowest_slot(stage: Stage) -> None:
    """One that was enqueued long ago comes back behind later ones: its slot is seen all the same."""
    (worker,) = await stage.sessions("worker")
    number = await worker.register()
    old, head, last = [(await worker.enqueue(gates=LANE))[0] for _ in range(3)]
    await worker.connection.execute("UPDATE holdfast.blocked SET seq = -seq WHERE job_id = $1", head)
    await worker.admit()
    await worker.claim(number, lease_number(number, 1))
    await worker.connection.execute(
        "INSERT INTO holdfast.gate AS g (name, low_slot) VALUES ($1, $2)"
        " ON CONFLICT (name) DO UPDATE SET low_slot = excluded.low_slot",
        LANE,
        head,
    )
    await worker.go_on(lease_number(number, 1), [head], number, lease_number(number, 2))
    await worker.admit(sweep=True)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(completed=[head], running=[old], blocked=[last])


async def newcomer_before_the_mark_of_its_lane(stage: Stage) -> None:
    """Who was given its place in line early and commits late stands before the mark: its call is heard."""
    await stage.install(Mutation("marks move each time", (("find_straight_v1", "random() < 0.03", "true"),)))
    application, worker = await stage.sessions("application", "worker")
    number = await worker.register()
    await application.begin()
    late = await application.enqueue(gates=LANE)
    first, second = [(await worker.enqueue(gates=LANE))[0] for _ in range(2)]
    await worker.admit()
    await worker.claim(number, lease_number(number, 1))
    await worker.go_on(lease_number(number, 1), [first], number, lease_number(number, 2))
    await application.commit()
    await worker.go_on(lease_number(number, 2), [second], number, lease_number(number, 3))
    await worker.admit(sweep=True)
    await stage.expect_places(completed=[first, second], ready=late)


def _jobs(rows: list[Any]) -> list[int]:
    return [row["job_id"] for row in rows if row["kind"] == 0]


async def _head(worker: Session) -> tuple[int, list[int]]:
    """A registered worker that runs the head of a lane, under its first lease."""
    number = await worker.register()
    head = await worker.enqueue(gates=LANE)
    await worker.admit()
    await worker.claim(number, lease_number(number, 1))
    return number, head


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
    lane_goes_on_beside_a_look,
    lane_kept_beside_a_look,
    lane_whose_next_is_held,
    lane_goes_on_below_its_lowest_slot,
    newcomer_before_the_mark_of_its_lane,
)
