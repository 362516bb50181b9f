"""R33: workers that are killed while they apply an operation: every job is moved once, and none that was not meant."""

from __future__ import annotations

import signal
from collections.abc import Callable

import asyncpg

from holdfast.db import Database
from holdfast.jobs import JobFilter, Jobs, Operations
from tests.acceptance.fleet import Fleet, patience
from tests.waiting import eventually

FleetOn = Callable[..., Fleet]

JOBS, OTHERS = 20_000, 500
# Failed jobs of two tasks that no worker of the fleet knows, in a queue that none of them serves.
FILL = f"""
    WITH numbered AS (
        SELECT holdfast.id_floor(now() - interval '1 minute') + n AS id,
               CASE WHEN n <= {JOBS} THEN 'meant' ELSE 'other' END AS task
        FROM generate_series(1, {JOBS} + {OTHERS}) AS n
    ), stored AS (
        INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
        SELECT id, 'elsewhere', task, '{{}}', 5, 0 FROM numbered
    )
    INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)
    SELECT id, 0, 2, 1, now(), '{{"type": "Boom", "message": "no"}}' FROM numbered"""
READY_TWICE = "SELECT count(*) FROM (SELECT job_id FROM holdfast.ready GROUP BY job_id HAVING count(*) > 1) AS twice"


@patience(120)
async def test_an_operation_outlives_the_workers_that_apply_it(ledger_url: str, fleet_on: FleetOn) -> None:
    connection = await asyncpg.connect(ledger_url)
    await connection.execute(FILL)
    fleet = fleet_on(ledger_url)
    async with Database(ledger_url) as database:
        operations, jobs = Operations(database), Jobs(database)
        preview = await operations.preview("retry", "queue=elsewhere task=meant", by="ada")
        assert (preview.jobs, preview.is_exact) == (JOBS, True)
        started = await operations.start(preview.token, by="ada")
        fleet.start(2)
        for kill in range(1, 7):
            done = JOBS * kill // 8

            async def so_far(done: int = done) -> bool:
                return (await operations.show(started.id)).moved >= done

            await eventually(so_far, within_seconds=30)
            fleet.signal(kill % 2, signal.SIGKILL)
            fleet.replace(kill % 2)
        info = await operations.wait(started.id, timeout_seconds=60)
        left = await jobs.preview(JobFilter.parse("queue=elsewhere state=failed"), count_up_to=JOBS)
    assert (info.state, info.moved, info.skipped, info.failed) == ("finished", JOBS, 0, 0)
    assert [(group.task, group.jobs) for group in left[0]] == [("other", OTHERS)]
    assert await connection.fetchval("SELECT count(*) FROM holdfast.ready WHERE queue = 'elsewhere'") == JOBS
    assert await connection.fetchval(READY_TWICE) == 0
    await connection.close()
