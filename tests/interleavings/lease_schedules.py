"""Schedules around a lease: completion, exit, claim and rescue, in both orders."""

from __future__ import annotations

from dataclasses import dataclass

from tests.interleavings.stage import Session, Stage
from tests.queue_calls import CANCELLED, FAILED, RETRY, SOLO, lease_number


@dataclass
class Played:
    """A worker with three jobs in one lease, and somebody who will rescue it."""

    stage: Stage
    worker: Session
    rescuer: Session
    number: int
    lease: int
    jobs: list[int]

    async def rescue_until_quiet(self) -> int:
        """Rounds of rescue, as an observer does them, until nobody who is dead holds anything."""
        moved = 0
        for _ in range(5):
            moved += await self.rescuer.rescue(self.number)
            if not await self.rescuer.rows("workers_to_rescue_v1"):
                return moved
        self.stage.expect(False, "a dead worker still holds a lease after five rounds of rescue")
        return moved


async def dead_worker_with_three(stage: Stage, *, flags: int = 0) -> Played:
    worker, rescuer = await stage.sessions("worker", "rescuer")
    number = await worker.register()
    jobs = await worker.enqueue(3, flags=flags)
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    assert await rescuer.declare_dead(number)
    return Played(stage, worker, rescuer, number, lease, jobs)


async def completion_commits_while_a_rescue_looks(stage: Stage) -> None:
    """F1: the completion came first; rescue must see it, or leave the lease for the next round."""
    play = await dead_worker_with_three(stage)
    await play.worker.begin()
    refused = await play.worker.finish(play.lease, play.jobs[:1])
    stage.expect(refused == [], "a completion that came before the rescue was refused")
    rescue = await play.rescuer.start(play.rescuer.rescue(play.number))
    await play.worker.commit()
    await rescue.result()
    await play.rescue_until_quiet()
    await stage.expect_places(completed=play.jobs[:1], ready=play.jobs[1:])


async def completion_arrives_during_a_rescue(stage: Stage) -> None:
    """F1, the other order: the rescue was first, so the completion is refused."""
    play = await dead_worker_with_three(stage)
    await play.rescuer.begin()
    await play.rescuer.rescue(play.number)
    completion = await play.worker.start(play.worker.finish(play.lease, play.jobs[:1]))
    await play.rescuer.commit()
    refused = await completion.result()
    stage.expect(refused == play.jobs[:1], f"a completion under a rescued lease was accepted: refused {refused}")
    await play.rescue_until_quiet()
    await stage.expect_places(ready=play.jobs)


async def completion_arrives_during_a_rescue_that_fails(stage: Stage) -> None:
    """F1: the rescue was rolled back, so the completion it held up counts."""
    play = await dead_worker_with_three(stage)
    await play.rescuer.begin()
    await play.rescuer.rescue(play.number)
    completion = await play.worker.start(play.worker.finish(play.lease, play.jobs[:1]))
    stage.expect(completion.waits, "a completion did not wait for the rescue that held its lease")
    await play.rescuer.rollback()
    stage.expect(await completion.result() == [], "a completion was refused because of a rescue that never was")
    await play.rescue_until_quiet()
    await stage.expect_places(completed=play.jobs[:1], ready=play.jobs[1:])


async def exit_commits_while_a_rescue_looks(stage: Stage) -> None:
    """F2: a job that left by retry is in scheduled; rescue must not put it into ready as well."""
    play = await dead_worker_with_three(stage)
    await play.worker.begin()
    await play.worker.leave(play.lease, play.jobs[:1], RETRY, delay_seconds=60, attempt=2)
    rescue = await play.rescuer.start(play.rescuer.rescue(play.number))
    await play.worker.commit()
    await rescue.result()
    await play.rescue_until_quiet()
    await stage.expect_places(scheduled=play.jobs[:1], ready=play.jobs[1:])


async def exit_arrives_during_a_rescue(stage: Stage) -> None:
    """F2, the other order: the job went back by the rescue, so its retry is refused."""
    play = await dead_worker_with_three(stage)
    await play.rescuer.begin()
    await play.rescuer.rescue(play.number)
    leaving = await play.worker.start(play.worker.leave(play.lease, play.jobs[:1], RETRY, delay_seconds=60, attempt=2))
    await play.rescuer.commit()
    stage.expect(await leaving.result() == play.jobs[:1], "a retry under a rescued lease was accepted")
    await stage.expect_places(ready=play.jobs)


async def operator_retry_before_the_rescue_of_the_old_lease(stage: Stage) -> None:
    """A failed job is retried by an operator while its old lease still stands for the other two."""
    play = await dead_worker_with_three(stage)
    await play.worker.finish(play.lease, play.jobs[:1], FAILED)
    (operator,) = await stage.sessions("operator")
    await operator.begin()
    stage.expect(await operator.retry(play.jobs[0]) == "moved", "a failed job could not be retried")
    rescue = await play.rescuer.start(play.rescuer.rescue(play.number))
    await operator.commit()
    await rescue.result()
    await play.rescue_until_quiet()
    await stage.expect_places(ready=play.jobs)


async def operator_retry_then_rescue_of_the_old_lease(stage: Stage) -> None:
    """The same one after the other: the old lease names a job that is ready again by another way."""
    play = await dead_worker_with_three(stage)
    await play.worker.finish(play.lease, play.jobs[:1], FAILED)
    (operator,) = await stage.sessions("operator")
    await operator.retry(play.jobs[0])
    await play.rescue_until_quiet()
    await stage.expect_places(ready=play.jobs)


async def cancel_of_a_job_whose_worker_is_rescued(stage: Stage) -> None:
    """Cancel and rescue at once: the job ends as cancelled by either, or its request waits for the next claim."""
    play = await dead_worker_with_three(stage)
    (operator,) = await stage.sessions("operator")
    await operator.begin()
    await operator.cancel(play.jobs[0])
    rescue = await play.rescuer.start(play.rescuer.rescue(play.number))
    await operator.commit()
    await rescue.result()
    await play.rescue_until_quiet()
    second = await play.worker.register()
    claimed = [row["job_id"] for row in await play.worker.claim(second, lease_number(second, 1))]
    stage.expect(play.jobs[0] not in claimed, "a cancelled job was given to a worker")
    await stage.expect_places(cancelled=play.jobs[:1], running=play.jobs[1:])


async def death_is_declared_while_a_claim_is_open(stage: Stage) -> None:
    """F4: a claim in flight holds its worker's row: it cannot be declared dead before the lease is there to be seen."""
    worker, rescuer = await stage.sessions("worker", "rescuer")
    number = await worker.register()
    jobs = await worker.enqueue(3)
    await worker.begin()
    await worker.claim(number, lease_number(number, 1))
    declaring = await rescuer.start(rescuer.declare_dead(number))
    stage.expect(not declaring.waits, "declaring a worker dead waits for its claim, and holds up all other rescues")
    dead = False if declaring.waits else await declaring.result()
    if dead:
        await rescuer.rescue(number)
    await worker.commit()
    if dead:
        left = await rescuer.rows("workers_to_rescue_v1")
        stage.expect(not left, "a lease appeared after its worker had been declared dead and rescued")
    elif declaring.waits:
        await declaring.result()
    else:
        stage.expect(await rescuer.declare_dead(number), "a worker could not be declared dead after its claim")
    await rescuer.rescue(number)
    await stage.expect_places(ready=jobs)


async def claim_arrives_while_death_is_declared(stage: Stage) -> None:
    """F4, the other order: the claim waits, and is told that its worker is dead."""
    worker, rescuer = await stage.sessions("worker", "rescuer")
    number = await worker.register()
    jobs = await worker.enqueue(3)
    await rescuer.begin()
    await rescuer.declare_dead(number)
    claim = await worker.start(worker.claim(number, lease_number(number, 1)))
    await rescuer.commit()
    rows = await claim.result() or []
    stage.expect([row["kind"] for row in rows] == [2], "a dead worker was given jobs")
    await stage.expect_places(ready=jobs)


async def completion_is_repeated_after_a_lost_answer(stage: Stage) -> None:
    """F10: what is mine already counts as accepted, also when the lease is gone; somebody else's does not."""
    (worker,) = await stage.sessions("worker")
    number, other = await worker.register(), await worker.register("other")
    jobs = await worker.enqueue(3)
    mine, theirs = lease_number(number, 1), lease_number(other, 1)
    await worker.claim(number, mine, 2)
    await worker.claim(other, theirs, 2)
    stage.expect(await worker.finish(mine, jobs[:1]) == [], "a completion was refused")
    stage.expect(await worker.finish(mine, jobs[:2], again=True) == [], "a repeated completion was refused")
    await worker.finish(mine, [], done=[mine])
    stage.expect(await worker.finish(mine, jobs[:2], again=True) == [], "a repeat was refused once its lease had ended")
    refused = await worker.finish(mine, [jobs[0], jobs[2]], again=True)
    stage.expect(refused == jobs[2:], f"of a mine and a foreign job these were refused: {refused}")
    stage.expect(
        await worker.finish(theirs, jobs[:1], again=True) == jobs[:1], "the same end was accepted from two leases"
    )
    await stage.expect_places(completed=jobs[:2], running=jobs[2:])


async def solo_completion_during_a_rescue(stage: Stage) -> None:
    """A transactional job: its last statement deletes the lease; whoever comes second finds nothing."""
    play = await dead_worker_with_three(stage, flags=SOLO)
    first, second = lease_number(play.number, 2), lease_number(play.number, 3)
    await play.worker.begin()
    stage.expect(await play.worker.finish_solo(first, play.jobs[0]), "a transactional completion was refused")
    rescue = await play.rescuer.start(play.rescuer.rescue(play.number))
    stage.expect(not rescue.waits, "a rescue waits for an application's transaction")
    await play.worker.commit()
    await rescue.result()
    stage.expect(not await play.worker.finish_solo(second, play.jobs[1]), "a rescued transactional job completed")
    await play.rescue_until_quiet()
    await stage.expect_places(completed=play.jobs[:1], ready=play.jobs[1:])


async def lost_answer_is_released_while_it_completes(stage: Stage) -> None:
    """F3: a live worker gives back a lease it does not know of, while an old call finishes under it."""
    (worker, second) = await stage.sessions("worker", "second")
    number = await worker.register()
    jobs = await worker.enqueue(2)
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.begin()
    await worker.finish(lease, jobs[:1])
    release = await second.start(second.value("release_lease_v1", lease))
    await worker.commit()
    await release.result()
    await second.value("release_lease_v1", lease)
    await stage.expect_places(completed=jobs[:1], ready=jobs[1:])


async def cancelled_job_ends_under_its_worker(stage: Stage) -> None:
    """A running job asked to stop ends as cancelled, and its request goes with it."""
    worker, operator = await stage.sessions("worker", "operator")
    number = await worker.register()
    jobs = await worker.enqueue(1)
    lease = lease_number(number, 1)
    await worker.begin()
    await worker.claim(number, lease)
    cancel = await operator.start(operator.cancel(*jobs))
    stage.expect(not cancel.waits, "a cancel waits for a claim")
    answers = await cancel.result()
    stage.expect(answers == {jobs[0]: "requested"}, f"a job being claimed answered {answers}")
    await worker.commit()
    await worker.finish(lease, jobs, CANCELLED, done=[lease])
    stage.expect(not await stage.watch.fetch("table holdfast.cancel_request"), "a request outlived its job")
    await stage.expect_places(cancelled=jobs)


LEASE_SCHEDULES = (
    completion_commits_while_a_rescue_looks,
    completion_arrives_during_a_rescue,
    completion_arrives_during_a_rescue_that_fails,
    exit_commits_while_a_rescue_looks,
    exit_arrives_during_a_rescue,
    operator_retry_before_the_rescue_of_the_old_lease,
    operator_retry_then_rescue_of_the_old_lease,
    cancel_of_a_job_whose_worker_is_rescued,
    death_is_declared_while_a_claim_is_open,
    claim_arrives_while_death_is_declared,
    completion_is_repeated_after_a_lost_answer,
    solo_completion_during_a_rescue,
    lost_answer_is_released_while_it_completes,
    cancelled_job_ends_under_its_worker,
)
