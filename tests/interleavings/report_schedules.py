"""Schedules around what a job reports: its checkpoint and its progress beside the rescue of its lease."""

from __future__ import annotations

from tests.interleavings.stage import Stage
from tests.queue_calls import lease_number


async def checkpoint_arrives_during_a_rescue(stage: Stage) -> None:
    """The lease is going: the checkpoint waits for the decision, and is refused."""
    worker, rescuer = await stage.sessions("worker", "rescuer")
    number = await worker.register()
    jobs = await worker.enqueue(1)
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.declare_dead(number)
    await rescuer.begin()
    stage.expect(await rescuer.rescue(number) == 1, "the rescue found nothing")
    save = await worker.start(worker.save_checkpoint(lease, jobs[0]))
    stage.expect(save.waits, "a checkpoint does not wait for the rescue of its lease")
    await rescuer.commit()
    stage.expect(await save.result() == jobs, "a lost lease has saved a checkpoint")
    stage.expect(await stage.truth.checkpoints() == 0, "the checkpoint of a lost lease is there")
    await stage.expect_places(ready=jobs)


async def checkpoint_commits_while_a_rescue_looks(stage: Stage) -> None:
    """The checkpoint came first: the rescue passes its lease by, and takes it the next time."""
    worker, rescuer = await stage.sessions("worker", "rescuer")
    number = await worker.register()
    jobs = await worker.enqueue(1)
    lease = lease_number(number, 1)
    await worker.claim(number, lease)
    await worker.declare_dead(number)
    await worker.begin()
    stage.expect(await worker.save_checkpoint(lease, jobs[0]) == [], "a checkpoint was refused")
    rescue = await rescuer.start(rescuer.rescue(number))
    stage.expect(not rescue.waits, "a rescue waits for the transaction of a checkpoint")
    stage.expect(await rescue.result() == 0, "a lease was taken while its job was saving a checkpoint")
    await worker.commit()
    stage.expect(await rescuer.rescue(number) == 1, "a lease was never rescued")
    stage.expect(await stage.truth.checkpoints() == 1, "the checkpoint is gone")
    await stage.expect_places(ready=jobs)


async def progress_beside_a_transaction_that_ends_its_job(stage: Stage) -> None:
    """The worker does not wait for the handler's transaction only to say how far its job is."""
    worker, handler = await stage.sessions("worker", "handler")
    number = await worker.register()
    jobs = await worker.enqueue(1, flags=1)
    lease = lease_number(number, 2)
    await worker.claim(number, lease_number(number, 1))
    await handler.begin()
    stage.expect(await handler.finish_solo(lease, jobs[0]), "the job's own transaction was refused")
    report = await worker.start(worker.report_progress(lease, jobs[0]))
    stage.expect(not report.waits, "a report waits for an application's transaction")
    await report.result()
    await handler.commit()
    await worker.report_progress(lease, jobs[0])
    said = await stage.watch.fetchval("select done from holdfast.progress where job_id = $1", jobs[0])
    stage.expect(said == 1, "the last words of a job that has ended are lost")


REPORT_SCHEDULES = (
    checkpoint_arrives_during_a_rescue,
    checkpoint_commits_while_a_rescue_looks,
    progress_beside_a_transaction_that_ends_its_job,
)
