"""Schedules around batches: last members that end at once, joins and cancels beside the step that ends a batch."""

from __future__ import annotations

from tests.interleavings.stage import Session, Stage
from tests.queue_calls import lease_number


async def _leased(session: Session, members: list[int]) -> list[int]:
    """A lease for each member, in order."""
    worker = await session.register()
    leases = []
    for number, _ in enumerate(members, start=1):
        await session.claim(worker, lease_number(worker, number), 1)
        leases.append(lease_number(worker, number))
    return leases


async def _end(session: Session, lease: int, member: int) -> None:
    await session.finish(lease, [member], done=[lease], company=[member])


async def _expect_one_callback(stage: Stage, batch: int) -> None:
    for _ in range(2):
        await stage.truth.settle()
    count = await stage.truth.callbacks(batch)
    stage.expect(count == 1, f"the callback was enqueued {count} times")
    stage.troubles += [f"batch {row[0]}: {row[1]}" for row in await stage.truth.rows("audit_batches_v1")]
    stage.troubles += await stage.truth.audit()


async def two_last_members_end_at_once(stage: Stage) -> None:
    """Neither sees that the other has ended: still the callback comes, and once."""
    first, second = await stage.sessions("first", "second")
    batch, members = await first.open_batch(2)
    leases = await _leased(first, members)
    await first.settle()
    await first.begin()
    await _end(first, leases[0], members[0])
    await second.begin()
    end = await second.start(_end(second, leases[1], members[1]))
    stage.expect(not end.waits, "the end of a member waits for that of another")
    await end.result()
    await first.commit()
    stage.expect(await stage.truth.settle() == 0, "a batch has ended with a member open")
    await second.commit()
    await _expect_one_callback(stage, batch)


async def two_workers_settle_at_once(stage: Stage) -> None:
    """The second passes the batch by, without waiting for the first."""
    first, second = await stage.sessions("first", "second")
    batch, members = await first.open_batch(1)
    leases = await _leased(first, members)
    await _end(first, leases[0], members[0])
    await first.begin()
    stage.expect(await first.settle() == 1, "nobody ended the batch")
    settle = await second.start(second.settle())
    stage.expect(not settle.waits, "a worker that settles waits for another")
    stage.expect(await settle.result() == 0, "a batch was ended twice")
    await first.commit()
    await _expect_one_callback(stage, batch)


async def settle_that_rolls_back(stage: Stage) -> None:
    """What a settle had taken is there for the next one."""
    first, second = await stage.sessions("first", "second")
    batch, members = await first.open_batch(1)
    leases = await _leased(first, members)
    await _end(first, leases[0], members[0])
    await first.begin()
    await first.settle()
    await first.rollback()
    stage.expect(await second.settle() == 1, "the deltas of a settle that was rolled back are gone")
    await _expect_one_callback(stage, batch)


async def somebody_joins_while_the_last_member_ends(stage: Stage) -> None:
    """Who joins in an open transaction keeps the batch open; workers do not wait for that transaction."""
    worker, application = await stage.sessions("worker", "application")
    batch, members = await worker.open_batch(1)
    leases = await _leased(worker, members)
    await application.begin()
    joined = await application.join(batch)
    await _end(worker, leases[0], members[0])
    settle = await worker.start(worker.settle())
    stage.expect(not settle.waits, "a worker that settles waits for an application's transaction")
    stage.expect(await settle.result() == 0, "a batch has ended although somebody was joining it")
    await application.commit()
    stage.expect(await worker.settle() == 0, "a batch has ended although a member is open")
    leases = await _leased(worker, joined)
    await _end(worker, leases[0], joined[0])
    await _expect_one_callback(stage, batch)


async def somebody_joins_a_batch_that_is_just_ending(stage: Stage) -> None:
    """The join waits for the decision, and is refused: no member is left outside of what was called back."""
    worker, application = await stage.sessions("worker", "application")
    batch, members = await worker.open_batch(1)
    leases = await _leased(worker, members)
    await _end(worker, leases[0], members[0])
    await worker.begin()
    await worker.settle()
    join = await application.start(application.join(batch))
    stage.expect(join.waits, "a join does not wait for the decision whether the batch has ended")
    await worker.commit()
    refused = len(stage.troubles)
    stage.expect(await join.result() is None, "a job has joined a batch that had ended")
    told = stage.troubles[refused:]
    stage.expect(len(told) == 1 and "is over" in told[0], f"the refusal was {told}")
    del stage.troubles[refused : refused + 1]
    await _expect_one_callback(stage, batch)


async def somebody_joins_while_the_batch_is_cancelled(stage: Stage) -> None:
    """A member that the cancel could not see is cancelled by the next settle, and nobody is called."""
    operator, application = await stage.sessions("operator", "application")
    batch, members = await operator.open_batch(1)
    await application.begin()
    joined = await application.join(batch)
    cancel = await operator.start(operator.value("cancel_batch_v1", batch, "test"))
    stage.expect(not cancel.waits, "an operator waits for an application's transaction")
    stage.expect(await cancel.result() == "cancelled", "the batch was not cancelled")
    await application.commit()
    for _ in range(3):
        await stage.truth.settle()
    await stage.expect_places(cancelled=[*members, *joined])
    stage.expect(await stage.truth.callbacks(batch) == 0, "a cancelled batch has called back")
    finished = await stage.watch.fetchval("select finished_at is not null from holdfast.batch where id = $1", batch)
    stage.expect(finished, "a cancelled batch never ends")


async def two_attempts_open_the_batch_of_one_parent(stage: Stage) -> None:
    """A zombie and its successor: the second waits, finds the batch of the first, and adds nothing."""
    first, second = await stage.sessions("first", "second")
    parent = (await first.enqueue())[0]
    await first.begin()
    batch = await first.value("open_batch_v1", None, "parts", parent, None, None, None)
    again = await second.start(second.value("open_batch_v1", None, "parts", parent, None, None, None))
    stage.expect(again.waits, "the same batch is opened twice at once")
    await first.commit()
    stage.expect(await again.result() == -batch, "the second attempt does not find the batch of the first")


BATCH_SCHEDULES = (
    two_last_members_end_at_once,
    two_workers_settle_at_once,
    settle_that_rolls_back,
    somebody_joins_while_the_last_member_ends,
    somebody_joins_a_batch_that_is_just_ending,
    somebody_joins_while_the_batch_is_cancelled,
    two_attempts_open_the_batch_of_one_parent,
)
