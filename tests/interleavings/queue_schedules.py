"""Schedules around the queue: claims beside claims, cancels, pauses, late commits, and unique keys."""

from __future__ import annotations

import asyncpg

from holdfast.jobs.claim_order import ClaimOrder
from tests.interleavings.stage import Session, Stage
from tests.queue_calls import PRIORITY, QUEUE, SOLO, lease_number

_GATE = 99
_TOGETHER = 20


async def two_claims_at_once(stage: Stage) -> None:
    """Neither waits, and what they take is disjoint."""
    first, second = await stage.sessions("first", "second")
    one, two = await first.register("one"), await first.register("two")
    jobs = await first.enqueue(4)
    await first.begin()
    taken = await first.claim(one, lease_number(one, 1), 2)
    claim = await second.start(second.claim(two, lease_number(two, 1), 4))
    stage.expect(not claim.waits, "a claim waits for another claim")
    await first.commit()
    also = await claim.result() or []
    ids = sorted([row["job_id"] for row in taken] + [row["job_id"] for row in also])
    stage.expect(ids == jobs, f"two claims took {ids} of {jobs}")
    await stage.expect_places(running=jobs)


async def claim_that_rolls_back_beside_another(stage: Stage) -> None:
    """What a failed claim had locked is there for the next one."""
    first, second = await stage.sessions("first", "second")
    one, two = await first.register("one"), await first.register("two")
    jobs = await first.enqueue(4)
    await first.begin()
    await first.claim(one, lease_number(one, 1), 2)
    claim = await second.start(second.claim(two, lease_number(two, 1), 4))
    await first.rollback()
    taken = await claim.result() or []
    taken += await second.claim(two, lease_number(two, 2), 4)
    stage.expect(sorted(row["job_id"] for row in taken) == jobs, "a job skipped by a claim was never found again")
    await stage.expect_places(running=jobs)


async def claim_during_a_cancel(stage: Stage) -> None:
    """The cancel came first: the claim passes the job by, without waiting for whoever cancels."""
    worker, operator = await stage.sessions("worker", "operator")
    number = await worker.register()
    jobs = await worker.enqueue(2)
    await operator.begin()
    answers = await operator.cancel(jobs[0])
    stage.expect(answers == {jobs[0]: "cancelled"}, f"a waiting job answered {answers}")
    claim = await worker.start(worker.claim(number, lease_number(number, 1)))
    stage.expect(not claim.waits, "a claim waits for a cancel")
    await operator.commit()
    taken = [row["job_id"] for row in await claim.result() or []]
    stage.expect(taken == jobs[1:], f"beside a cancel a claim took {taken}")
    await stage.expect_places(cancelled=jobs[:1], running=jobs[1:])


async def cancel_request_before_the_claim(stage: Stage) -> None:
    """A job that a cancel could not take out of its place (it was locked) is dropped by the next claim."""
    worker, operator, application = await stage.sessions("worker", "operator", "application")
    number = await worker.register()
    jobs = await worker.enqueue_keyed("k")
    await application.begin()
    await application.enqueue_keyed("k")
    cancel = await operator.start(operator.cancel(*jobs))
    stage.expect(not cancel.waits, "a cancel waits for an application's transaction")
    answers = await cancel.result()
    stage.expect(answers == {jobs[0]: "requested"}, f"a job held by a duplicate answered {answers}")
    await application.commit()
    taken = await worker.claim(number, lease_number(number, 1))
    stage.expect(taken == [], "a job that was asked to be cancelled was given to a worker")
    await stage.expect_places(cancelled=jobs)


async def pause_beside_a_claim(stage: Stage) -> None:
    """A pause that has committed is obeyed by the next claim; one that has not neither stops nor delays a claim."""
    worker, operator = await stage.sessions("worker", "operator")
    number = await worker.register()
    jobs = await worker.enqueue(2)
    await operator.begin()
    await operator.value("pause_queue_v1", QUEUE, "test")
    claim = await worker.start(worker.claim(number, lease_number(number, 1), 1))
    stage.expect(not claim.waits, "a claim waits for a pause")
    stage.expect(len(await claim.result() or []) == 1, "a claim obeyed a pause that was not committed")
    await operator.commit()
    stage.expect(await worker.claim(number, lease_number(number, 2), 1) == [], "a claim looked into a paused queue")
    await operator.value("resume_queue_v1", QUEUE)
    stage.expect(len(await worker.claim(number, lease_number(number, 3), 1)) == 1, "a resumed queue gives no jobs")
    await stage.expect_places(running=jobs)


async def late_commit_of_an_early_number(stage: Stage) -> None:
    """F5: on a queue that never runs empty, a job whose number was drawn early and committed late is claimed."""
    application, worker = await stage.sessions("application", "worker")
    number = await worker.register()
    order = ClaimOrder([QUEUE])
    await application.begin()
    late = await application.enqueue(1)
    settled_while_open = 0
    for turn in range(1, 6):
        await _busy_turn(worker, number, order, turn)
        settled_while_open = max(settled_while_open, order.levels(exact=True)[2][PRIORITY])
    drawn = await application.connection.fetchval("select seq from holdfast.ready where job_id = $1", late[0])
    stage.expect(settled_while_open <= drawn, f"the mark passed {drawn}, which was still being written")
    await application.commit()
    taken: list[int] = []
    for turn in range(6, 9):
        taken += await _busy_turn(worker, number, order, turn)
    stage.expect(late[0] in taken, "a late commit was never claimed on a busy queue")
    stage.expect(order.levels(exact=True)[2][PRIORITY] > drawn, "the mark stands still although its writer has ended")
    stage.troubles += await stage.truth.audit()


async def _busy_turn(worker: Session, number: int, order: ClaimOrder, turn: int) -> list[int]:
    """Jobs come, some are claimed from the exact marks, and the marks are moved, as a worker does it."""
    await worker.enqueue(3)
    rows = await worker.claim(number, lease_number(number, turn), 2, levels=order.levels(exact=True))
    answer = (await worker.rows("marks_v1", *order.question()))[0]
    order.answer(answer["pending"], answer["fence"], answer["marks"])
    return [row["job_id"] for row in rows]


async def duplicate_holds_the_waiting_job_back(stage: Stage) -> None:
    """F11: who enqueues a duplicate in a transaction gets a job that will see what the transaction wrote."""
    application, worker = await stage.sessions("application", "worker")
    number = await worker.register()
    jobs = await worker.enqueue_keyed("k")
    await application.begin()
    same = await application.enqueue_keyed("k")
    stage.expect(same == jobs, f"a duplicate was given {same}, not {jobs}")
    claim = await worker.start(worker.claim(number, lease_number(number, 1)))
    stage.expect(not claim.waits, "a claim waits for an application's transaction")
    early = await claim.result()
    stage.expect(early == [], "a job ran before the transaction of its duplicate had committed")
    await application.commit()
    taken = await worker.claim(number, lease_number(number, 2))
    stage.expect([row["job_id"] for row in taken] == jobs or bool(early), "a job held by a duplicate stayed behind")
    await stage.expect_places(running=jobs)


async def duplicate_of_a_job_being_claimed(stage: Stage) -> None:
    """F11, the other order: the claim was first; the duplicate waits for it and is told about a running job."""
    application, worker = await stage.sessions("application", "worker")
    number = await worker.register()
    jobs = await worker.enqueue_keyed("k")
    await worker.begin()
    await worker.claim(number, lease_number(number, 1))
    duplicate = await application.start(application.enqueue_keyed("k"))
    await worker.commit()
    stage.expect(await duplicate.result() == jobs, "the key of an unfinished job was given away")
    await stage.expect_places(running=jobs)


async def unique_enqueue_beside_its_completion(stage: Stage) -> None:
    """An open completion keeps the key; once it has committed the key is stale and a new job takes it over."""
    application, worker = await stage.sessions("application", "worker")
    number = await worker.register()
    jobs = await worker.enqueue_keyed("k")
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.begin()
    await worker.finish(lease, jobs, done=[lease])
    duplicate = await application.start(application.enqueue_keyed("k"))
    stage.expect(not duplicate.waits, "an enqueue waits for a completion")
    stage.expect(await duplicate.result() == jobs, "the key of an unfinished job was given away")
    await worker.commit()
    fresh = await application.enqueue_keyed("k")
    stage.expect(fresh != jobs, "the key of a finished job was not given away")
    await stage.expect_places(completed=jobs, ready=[job for job in fresh if job not in jobs])


async def completion_beside_a_new_holder(stage: Stage) -> None:
    """The enqueue is first and open: the worker's completion does not wait for it."""
    application, worker = await stage.sessions("application", "worker")
    number = await worker.register()
    jobs = await worker.enqueue_keyed("k")
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await application.begin()
    await application.enqueue_keyed("k")
    completion = await worker.start(worker.finish(lease, jobs, done=[lease]))
    stage.expect(not completion.waits, "a completion waits for an application's transaction")
    await application.commit()
    stage.expect(await completion.result() == [], "a completion was refused")
    await stage.expect_places(completed=jobs)


async def key_of_a_job_that_retention_has_dropped(stage: Stage) -> None:
    """A job gone with its outcome is no running one: its key is free."""
    (worker,) = await stage.sessions("worker")
    number = await worker.register()
    jobs = await worker.enqueue_keyed("k")
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.finish(lease, jobs, done=[lease])
    await worker.connection.execute("delete from holdfast.outcome")
    await worker.connection.execute("delete from holdfast.job")
    fresh = await worker.enqueue_keyed("k")
    stage.expect(fresh != jobs, "the key of a dropped job is taken for ever")
    await stage.expect_places(ready=fresh)


async def two_cancels_and_a_retry(stage: Stage) -> None:
    """The second of two cancels leaves a request behind the end of its job; an operator's retry is not caught by it."""
    first, second = await stage.sessions("first", "second")
    number = await first.register()
    jobs = await first.enqueue(1)
    await first.begin()
    await first.cancel(*jobs)
    cancel = await second.start(second.cancel(*jobs))
    await first.commit()
    await cancel.result()
    stage.expect(await second.retry(jobs[0]) == "moved", "a cancelled job could not be retried")
    taken = await first.claim(number, lease_number(number, 1))
    stage.expect([row["job_id"] for row in taken] == jobs, "a retried job was cancelled again by an old request")
    await stage.expect_places(running=jobs)


async def first_enqueues_of_one_key_at_once(stage: Stage) -> None:
    """DO NOTHING and a look-up: the second must be told the id of the first, which it could not see when it began."""
    first, second = await stage.sessions("first", "second")
    await first.begin()
    one = await first.enqueue_keyed("k")
    enqueue = await second.start(second.enqueue_keyed("k"))
    await first.commit()
    two = await enqueue.result()
    stage.expect(two == one, f"two enqueues of one key answered {one} and {two}")
    await stage.expect_places(ready=one)


async def first_enqueue_of_a_key_that_rolls_back(stage: Stage) -> None:
    """The first never was: the second gets a job of its own."""
    first, second = await stage.sessions("first", "second")
    await first.begin()
    await first.enqueue_keyed("k")
    enqueue = await second.start(second.enqueue_keyed("k"))
    await first.rollback()
    two = await enqueue.result() or []
    stage.expect(len(two) == 1 and two[0] is not None, f"after a rollback the key answered {two}")
    await stage.expect_places(ready=[job for job in two if job is not None])


async def overlapping_keys_in_opposite_order(stage: Stage) -> None:
    """F11: two bulk enqueues with the same keys, each stopped after its first key: no deadlock."""
    first, second, gate = await stage.sessions("first", "second", "gate")
    await gate.connection.execute(
        f"""create function pg_temp.at_the_gate() returns trigger language plpgsql as $$
            begin perform pg_advisory_xact_lock_shared({_GATE}, 0); return new; end $$"""
    )
    await gate.connection.execute(
        """create trigger at_the_gate after insert on holdfast.unique_key
           for each row execute function pg_temp.at_the_gate()"""
    )
    await gate.connection.execute(f"select pg_advisory_lock({_GATE}, 0)")
    one = await first.start(first.enqueue_keyed("a", "b"))
    two = await second.start(second.enqueue_keyed("b", "a"))
    await gate.connection.execute(f"select pg_advisory_unlock({_GATE}, 0)")
    answers = [await one.result(), await two.result()]
    stage.expect(None in answers or answers[0] == answers[1][::-1], f"the same keys answered {answers}")
    await stage.expect_places(ready=sorted({job for answer in answers if answer for job in answer}))


async def many_transactional_completions(stage: Stage) -> None:
    """F12: open transactions that each complete a job of the same worker use up no multixact members."""
    (worker,) = await stage.sessions("worker")
    applications = await stage.sessions(*(f"application {n}" for n in range(_TOGETHER)))
    number = await worker.register()
    jobs = await worker.enqueue(_TOGETHER, flags=SOLO)
    claimed = await worker.claim(number, lease_number(number, 1), _TOGETHER)
    before = await _multixact_offset(stage.watch)
    for application, row in zip(applications, claimed, strict=True):
        await application.begin()
        stage.expect(
            await application.finish_solo(row["lease"], row["job_id"]), "a transactional completion was refused"
        )
    for application in applications:
        await application.commit()
    used = await _multixact_offset(stage.watch) - before
    stage.expect(used == 0, f"{_TOGETHER} transactional completions used {used} multixact members")
    await stage.expect_places(completed=jobs)


async def _multixact_offset(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """The next free member, as the control file has it after a checkpoint."""
    await connection.execute("checkpoint")
    return int(await connection.fetchval("select next_multi_offset::text::bigint from pg_control_checkpoint()"))


QUEUE_SCHEDULES = (
    two_claims_at_once,
    claim_that_rolls_back_beside_another,
    claim_during_a_cancel,
    cancel_request_before_the_claim,
    pause_beside_a_claim,
    late_commit_of_an_early_number,
    duplicate_holds_the_waiting_job_back,
    duplicate_of_a_job_being_claimed,
    unique_enqueue_beside_its_completion,
    completion_beside_a_new_holder,
    key_of_a_job_that_retention_has_dropped,
    two_cancels_and_a_retry,
    first_enqueues_of_one_key_at_once,
    first_enqueue_of_a_key_that_rolls_back,
    overlapping_keys_in_opposite_order,
    many_transactional_completions,
)
