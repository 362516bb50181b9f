"""Schedules around what people do to jobs: edits, purges, new priorities, beside claims, results and enqueues."""

from __future__ import annotations

from tests.interleavings.stage import Stage
from tests.queue_calls import COMPLETED, FAILED, lease_number

_BEFORE, _AFTER = "{}", '{"corrected": true}'


async def claim_during_an_edit(stage: Stage) -> None:
    """A claim neither waits for an edit nor takes the job with the arguments that are being replaced."""
    worker, operator = await stage.sessions("worker", "operator")
    number = await worker.register()
    jobs = await worker.enqueue(2)
    await operator.begin()
    answer = await operator.edit(jobs[0], _BEFORE, _AFTER)
    stage.expect(answer == "moved", f"an edit of a waiting job answered {answer}")
    claim = await worker.start(worker.claim(number, lease_number(number, 1)))
    stage.expect(not claim.waits, "a claim waits for an edit")
    taken = {row["job_id"]: row["args"] for row in await claim.result() or []}
    stage.expect(jobs[0] not in taken, "a job was claimed with arguments that were being replaced")
    await operator.commit()
    for row in await worker.claim(number, lease_number(number, 2)):
        taken.setdefault(row["job_id"], row["args"])
    stage.expect(taken.get(jobs[0]) == _AFTER, f"after the edit the job was claimed with {taken.get(jobs[0])}")
    await stage.expect_places(running=jobs)


async def edit_during_a_claim(stage: Stage) -> None:
    """An edit does not wait for a claim, and replaces nothing under it."""
    worker, operator = await stage.sessions("worker", "operator")
    number = await worker.register()
    (job,) = await worker.enqueue(1)
    await worker.begin()
    await worker.claim(number, lease_number(number, 1))
    edit = await operator.start(operator.edit(job, _BEFORE, _AFTER))
    stage.expect(not edit.waits, "an edit waits for a claim")
    answer = await edit.result()
    stage.expect(answer != "moved", "a job that was being claimed was edited")
    await worker.commit()
    await stage.expect_places(running=[job])


async def retry_during_an_edit(stage: Stage) -> None:
    """A failed job that is being edited is retried afterwards, with the new arguments."""
    worker, operator, other = await stage.sessions("worker", "operator", "other")
    number = await worker.register()
    (job,) = await worker.enqueue(1)
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.finish(lease, [job], FAILED, done=[lease])
    await operator.begin()
    await operator.edit(job, _BEFORE, _AFTER)
    retry = await other.start(other.retry(job))
    await operator.commit()
    stage.expect(await retry.result() == "moved", "a retry beside an edit did not move the job")
    rows = await worker.claim(number, lease_number(number, 2))
    stage.expect([row["args"] for row in rows] == [_AFTER], "a retry beside an edit ran with the old arguments")


async def gate_opens_during_an_edit(stage: Stage) -> None:
    """Who is held by an edit while its lane opens is passed by, and called for again with the edit's commit."""
    worker, operator = await stage.sessions("worker", "operator")
    number = await worker.register()
    first, second = await worker.enqueue(2, gates="lane:x")
    await worker.admit()
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await operator.begin()
    answer = await operator.edit(second, _BEFORE, _AFTER)
    stage.expect(answer == "moved", f"an edit of a blocked job answered {answer}")
    await worker.finish(lease, [first], COMPLETED, done=[lease], company=[first])
    look = await worker.start(worker.admit(first))
    stage.expect(not look.waits, "a look at the gates waits for an edit")
    await look.result()
    await stage.expect_places(blocked=[second])
    await operator.commit()
    await worker.admit()
    await stage.expect_places(ready=[second])


async def head_is_put_off_while_others_wait(stage: Stage) -> None:
    """A job that gives up its lane calls whoever stands behind it."""
    worker, operator = await stage.sessions("worker", "operator")
    first, second = await worker.enqueue(2, gates="lane:x")
    await worker.admit()
    answer = await operator.reschedule(first, delay_seconds=60)
    stage.expect(answer == {first: "moved"}, f"a reschedule of the head of a lane answered {answer}")
    await worker.admit()
    await stage.expect_places(scheduled=[first], ready=[second])
    stage.expect(await worker.gate_troubles() == [], "a gate has the wrong slots")


async def purge_of_one_job_of_a_lease(stage: Stage) -> None:
    """A finished job is purged while its lease is there for another one: nobody runs it again, nobody finds a ghost."""
    worker, operator = await stage.sessions("worker", "operator")
    number = await worker.register()
    gone, stays = await worker.enqueue(2)
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.finish(lease, [gone], COMPLETED)
    answer = await operator.purge(gone)
    stage.expect(answer == {gone: "purged"}, f"a purge of a finished job answered {answer}")
    await stage.expect_places(running=[stays])
    await worker.declare_dead(number)
    rescued = await operator.rescue(number)
    stage.expect(rescued == 1, f"the rescue of a lease with a purged job put back {rescued} jobs")
    await stage.expect_places(ready=[stays])


async def purge_beside_an_enqueue_of_its_key(stage: Stage) -> None:
    """A duplicate that holds the waiting job back is not cheated: the job is not purged under it."""
    application, operator = await stage.sessions("application", "operator")
    (job,) = await application.enqueue_keyed("k")
    await application.begin()
    again = await application.enqueue_keyed("k")
    stage.expect(again == [job], f"a duplicate answered {again}")
    purge = await operator.start(operator.purge(job))
    stage.expect(not purge.waits, "a purge waits for an application's transaction")
    stage.expect(await purge.result() == {job: "ready"}, "a job that an enqueue had promised to run was purged")
    await application.commit()
    await stage.expect_places(ready=[job])


VERB_SCHEDULES = (
    claim_during_an_edit,
    edit_during_a_claim,
    retry_during_an_edit,
    gate_opens_during_an_edit,
    head_is_put_off_while_others_wait,
    purge_of_one_job_of_a_lease,
    purge_beside_an_enqueue_of_its_key,
)
