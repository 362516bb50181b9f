"""Schedules around gates (F9, F11, F13): looks beside enqueues, completions and other looks."""

from __future__ import annotations

from tests.interleavings.stage import Session, Stage
from tests.queue_calls import GATED, RETURN, lease_number

LANE = "lane:x"
LIMIT = "limit:l:"


async def enqueue_commits_after_its_lane_was_freed(stage: Stage) -> None:
    """F9a: the head ends while its successor is not committed; neither sees the other, and nobody is stranded."""
    application, worker = await stage.sessions("application", "worker")
    number, head = await _running_head(worker)
    await application.begin()
    following = await application.enqueue(gates=LANE)
    await worker.finish(lease_number(number, 1), head, company=head, done=[lease_number(number, 1)])
    stage.expect(await worker.admit(*head) == 0, "a look saw a job that was not committed")
    await application.commit()
    await worker.admit()
    await stage.expect_places(completed=head, ready=following)
    stage.troubles += await stage.truth.gate_troubles()


async def completion_and_look_beside_an_open_enqueue(stage: Stage) -> None:
    """F9b: an application's open transaction makes neither a completion wait, nor the gates."""
    application, worker = await stage.sessions("application", "worker")
    number, head = await _running_head(worker)
    others = await worker.enqueue(1, gates="lane:y")
    await application.begin()
    following = await application.enqueue(gates=LANE)
    lease = lease_number(number, 1)
    completion = await worker.start(worker.finish(lease, head, company=head, done=[lease]))
    stage.expect(not completion.waits, "a completion waits for an enqueue into the lane of its job")
    await completion.result()
    look = await worker.start(worker.admit(*head))
    stage.expect(not look.waits, "a look waits for an application's transaction")
    stage.expect(await look.result() == 1, "an application's transaction closes the gates of others")
    await application.commit()
    await worker.admit()
    await stage.expect_places(completed=head, ready=others + following)


async def two_looks_at_once(stage: Stage) -> None:
    """F9c, F13: the second look does not wait, and does not give a slot that the first has given."""
    first, second, application = await stage.sessions("first", "second", "application")
    await first.register()
    await first.limit("l", 1)
    one = await application.enqueue(gates=LIMIT)
    await first.begin()
    stage.expect(await first.admit() == 1, "an open gate let nobody in")
    urgent = await application.enqueue(gates=LIMIT, priority=0)
    look = await second.start(second.admit())
    stage.expect(not look.waits, "a look waits for another look")
    stage.expect(await look.result() in (None, 0), "two looks gave the same slot")
    await first.commit()
    await second.admit(sweep=True)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(ready=one, blocked=urgent)


async def lanes_in_opposite_order(stage: Stage) -> None:
    """F9d: two transactions that enqueue into the same empty lanes in opposite order do not wait for each other."""
    first, second, worker = await stage.sessions("first", "second", "worker")
    await worker.register()
    await first.begin()
    await second.begin()
    jobs = await first.enqueue(gates="lane:x")
    jobs += await second.enqueue(gates="lane:y")
    one = await first.start(first.enqueue(gates="lane:y"))
    two = await second.start(second.enqueue(gates="lane:x"))
    stage.expect(not one.waits and not two.waits, "an enqueue waits for the lane of another transaction")
    more = [*(await one.result() or []), *(await two.result() or [])]
    await first.commit()
    await second.commit()
    await worker.admit()
    await stage.expect_places(ready=jobs, blocked=more)


async def more_wait_than_there_are_slots(stage: Stage) -> None:
    """F13: every slot is given once, however often somebody looks; ended jobs leave theirs to others."""
    (worker,) = await stage.sessions("worker")
    number = await worker.register()
    await worker.limit("l", 2)
    jobs = await worker.enqueue(4, gates=LIMIT)
    for _ in range(3):
        await worker.admit(sweep=True)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(ready=jobs[:2], blocked=jobs[2:])
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.finish(lease, jobs[:2], company=jobs[:2], done=[lease])
    stage.troubles += await stage.truth.gate_troubles()
    await worker.admit(*jobs[:2])
    await stage.expect_places(completed=jobs[:2], ready=jobs[2:])


async def several_limits_of_one_job(stage: Stage) -> None:
    """F13: who finds one of its limits full takes nothing of the others."""
    (worker,) = await stage.sessions("worker")
    await worker.register()
    await worker.limit("a", 2)
    await worker.limit("b", 1)
    jobs = await worker.enqueue(3, gates="limit:a:\nlimit:b:")
    only_a = await worker.enqueue(1, gates="limit:a:")
    await worker.admit()
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(ready=[jobs[0], *only_a], blocked=jobs[1:])


async def rescue_of_a_head(stage: Stage) -> None:
    """The worker of a head dies: the head goes first again, whoever has come behind it."""
    worker, other = await stage.sessions("worker", "other")
    number, head = await _running_head(worker)
    following = await other.enqueue(gates=LANE)
    await other.register("other")
    await worker.declare_dead(number)
    await other.rescue(number)
    await other.admit(sweep=True)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(ready=head, blocked=following)


async def return_of_a_head_beside_a_look(stage: Stage) -> None:
    """A head on its way back is still the head for whoever looks meanwhile."""
    worker, other = await stage.sessions("worker", "other")
    number, head = await _running_head(worker)
    following = await other.enqueue(gates=LANE)
    await worker.begin()
    await worker.leave(lease_number(number, 1), head, RETURN, flags=GATED)
    look = await other.start(other.admit(sweep=True))
    stage.expect(not look.waits, "a look waits for an exit")
    await look.result()
    await worker.commit()
    await other.admit(*head)
    stage.troubles += await stage.truth.gate_troubles()
    await stage.expect_places(ready=head, blocked=following)


async def duplicate_of_a_job_before_a_gate(stage: Stage) -> None:
    """F11: a job whose duplicate's transaction is open is not let in, and in its lane nobody overtakes it."""
    application, worker = await stage.sessions("application", "worker")
    await worker.register()
    jobs = await worker.enqueue_keyed("k", gates=LANE)
    behind = await worker.enqueue(gates=LANE)
    await application.begin()
    stage.expect(await application.enqueue_keyed("k", gates=LANE) == jobs, "a job before its gate was not found")
    look = await worker.start(worker.admit(sweep=True))
    stage.expect(not look.waits, "a look waits for an application's transaction")
    stage.expect(await look.result() == 0, "a job was let in before the transaction of its duplicate had committed")
    await stage.expect_places(blocked=jobs + behind)
    await application.commit()
    await worker.admit()
    await stage.expect_places(ready=jobs, blocked=behind)


async def cancel_of_a_job_before_a_gate(stage: Stage) -> None:
    """A look passes by whom somebody cancels, and whoever comes next is let in afterwards."""
    operator, worker = await stage.sessions("operator", "worker")
    await worker.register()
    jobs = await worker.enqueue(2, gates=LANE)
    await operator.begin()
    await operator.cancel(jobs[0])
    look = await worker.start(worker.admit(sweep=True))
    stage.expect(not look.waits, "a look waits for a cancel")
    await look.result()
    await operator.commit()
    await worker.admit(sweep=True)
    await stage.expect_places(cancelled=jobs[:1], ready=jobs[1:])
    stage.troubles += await stage.truth.gate_troubles()


async def _running_head(worker: Session) -> tuple[int, list[int]]:
    """A worker that runs the head of a lane."""
    number = await worker.register()
    head = await worker.enqueue(gates=LANE)
    await worker.admit()
    await worker.claim(number, lease_number(number, 1))
    return number, head


GATE_SCHEDULES = (
    enqueue_commits_after_its_lane_was_freed,
    completion_and_look_beside_an_open_enqueue,
    two_looks_at_once,
    lanes_in_opposite_order,
    more_wait_than_there_are_slots,
    several_limits_of_one_job,
    rescue_of_a_head,
    return_of_a_head_beside_a_look,
    duplicate_of_a_job_before_a_gate,
    cancel_of_a_job_before_a_gate,
)
