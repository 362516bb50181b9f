"""What is wrong with one job or one batch holds up no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.jobs import Promoter

AT_INFINITY = """
    INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
    SELECT 'infinity', r.job_id, r.queue, r.priority, r.attempt, r.flags FROM holdfast.ready r WHERE r.job_id = $1"""
DELTAS = "INSERT INTO holdfast.batch_delta (batch_id) SELECT $1 FROM generate_series(1, 50)"


async def test_nothing_is_due_at_infinity(app: Holdfast, outsider: Any) -> None:
    with pytest.raises(asyncpg.PostgresError, match="infinity") as refused:
        await outsider.execute("SELECT holdfast.enqueue('t', queue => 'q', run_at => 'infinity')")
    assert refused.value.sqlstate == "HF004"
    job_id = await outsider.fetchval("SELECT holdfast.enqueue('t', queue => 'q')")
    with pytest.raises(asyncpg.CheckViolationError):
        await outsider.execute("SELECT holdfast.reschedule_v1(ARRAY[$1::bigint], 'infinity')", job_id)
    assert (await app.jobs.show(job_id)).state == "ready"


async def test_a_job_that_was_due_at_infinity_holds_up_no_promotion(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    never = await work.enqueue()
    await outsider.execute("ALTER TABLE holdfast.scheduled DROP CONSTRAINT scheduled_due_at_is_a_moment")
    await outsider.execute(AT_INFINITY, never)
    await outsider.execute("DELETE FROM holdfast.ready WHERE job_id = $1", never)
    due = await work.options(run_in=0.001).enqueue()
    await outsider.execute("SET holdfast.clock_offset = '1 minute'")
    row = await outsider.fetchrow("SELECT * FROM holdfast.promote_v1('-infinity', 10)")
    assert (row["promoted"], row["next_due_us"]) == (1, None)
    assert (await app.jobs.show(due)).state == "ready"
    assert await Promoter(app.database).promote() is None


async def test_a_job_for_later_says_so_whoever_enqueues_it(app: Holdfast, outsider: Any) -> None:
    """How long it waits is somebody's wish, and is not counted among the waits for a worker."""

    @app.task
    async def work() -> None: ...

    await app.declare()
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    ids = [
        await work.options(run_at=tomorrow).enqueue(),
        await outsider.fetchval("SELECT holdfast.enqueue('work', run_at => $1)", tomorrow),
        await app.jobs.enqueue_by_name("work", {}, run_in="1d"),
        await work.enqueue(),
        await outsider.fetchval("SELECT holdfast.enqueue('work')"),
    ]
    flags = {row["id"]: row["flags"] for row in await outsider.fetch("SELECT id, flags FROM holdfast.job")}
    assert [flags[job_id] for job_id in ids] == [32, 32, 32, 0, 0]


async def test_a_batch_that_somebody_holds_keeps_no_other_from_its_end(
    app: Holdfast, outsider: Any, database_url: str
) -> None:
    @app.task
    async def work() -> None: ...

    async with app.batch() as held:
        held.add(work)
    async with app.batch() as empty:
        pass
    assert held.id is not None
    assert empty.id is not None
    await outsider.execute(DELTAS, held.id)
    joiner = await asyncpg.connect(database_url)
    joining = joiner.transaction()
    await joining.start()
    await work.into(held).using(joiner).enqueue()
    await app.batches.settle(most=10)
    assert (await app.batches.show(empty.id)).state == "completed"
    await joining.rollback()
    await joiner.close(timeout=5)


async def test_what_nobody_counted_for_long_is_counted_in_steps(app: Holdfast, outsider: Any) -> None:
    await outsider.execute("""
        INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
        SELECT s.lowest_id + n, 'loaded', 't', '{}', 5, 0 FROM holdfast.storage s, generate_series(1, 200010) AS n""")
    await outsider.execute("""
        UPDATE holdfast.tally_mark SET folded_id = s.lowest_id, pending_id = s.lowest_id + 300000, pending_fence = '{}'
        FROM holdfast.storage s""")
    counted = "SELECT enqueued FROM holdfast.tally WHERE queue = 'loaded' AND minute = '-infinity'"
    steps = []
    for _ in range(3):
        assert await outsider.fetchval("SELECT holdfast.fold_v1()")
        steps.append(await outsider.fetchval(counted))

    assert steps == [200_000, 200_010, 200_010]
