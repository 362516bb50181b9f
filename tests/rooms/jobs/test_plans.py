"""Hot statements prepared on empty tables stay cheap when the tables are full and nobody has analyzed them.

Work is counted in blocks and rows that PostgreSQL itself counted, never in time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

FULL = 120_000
QUEUES, PRIORITIES, MARKS = ["default"] * 10, list(range(10)), [0] * 10
CLAIM = "SELECT * FROM holdfast.claim_v1($1, $2, $3, $4, $5, $6)"
FINISH = """
    SELECT refused FROM holdfast.finish_v1(
        $1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[],
        NULL, NULL, ARRAY['default'], $7::smallint[], $8::bigint[], $9)"""
MARKS_SQL = "SELECT * FROM holdfast.marks_v1($1, $2, $3, $4, $5)"
PROMOTE = "SELECT * FROM holdfast.promote_v1('-infinity', 100)"
TAKE_KEY = "SELECT holdfast.take_key_v1($1, $2)"
KEYED = """
    SELECT holdfast.enqueue_keyed_v1(NULL, ARRAY['default'], ARRAY['t'], ARRAY['{}'::jsonb], ARRAY[5]::smallint[],
                                     ARRAY[0]::smallint[], NULL, NULL, NULL, NULL, ARRAY[$1], NULL)"""
RETRY = "SELECT holdfast.retry_v1($1)"
CANCEL = "SELECT * FROM holdfast.cancel_v1(ARRAY[$1::bigint], NULL)"
ADMIT = "SELECT * FROM holdfast.admit_v1($1, NULL, 0, NULL, 1000)"
LINE_UP = "SELECT holdfast.line_up_v1(ARRAY[$1::bigint], ARRAY['default'], '{5}', '{1}', '{8}')"

FILL = f"""
    INSERT INTO holdfast.job (id, queue, task, args, priority, flags, unique_key)
    SELECT s.first + n, 'default', 't', '{{}}', 5,
           CASE WHEN n % 10 = 0 THEN 2 ELSE 0 END, CASE WHEN n % 10 = 0 THEN 'k' || n END
    FROM generate_series(1, {FULL} * 3) AS n, (SELECT holdfast.id_floor(now()) AS first) AS s;
    INSERT INTO holdfast.ready (queue, priority, job_id, attempt, flags)
    SELECT 'default', 5, j.id, 1, j.flags FROM (SELECT * FROM holdfast.job ORDER BY id LIMIT {FULL}) AS j ORDER BY j.id;
    INSERT INTO holdfast.scheduled (due_at, job_id, queue, priority, attempt, flags)
    SELECT now() + (j.id % 7200 - 60) * interval '1 second', j.id, 'default', 5, 1, j.flags
    FROM (SELECT * FROM holdfast.job ORDER BY id OFFSET {FULL} LIMIT {FULL}) AS j;
    INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at)
    SELECT j.id, 0, CASE WHEN j.id % 100 = 0 THEN 2 ELSE 1 END, 1, now()
    FROM (SELECT * FROM holdfast.job ORDER BY id OFFSET {FULL} * 2) AS j;
    INSERT INTO holdfast.unique_key (hash, generation, job_id)
    SELECT holdfast.key_hash_v1(j.unique_key), 1, j.id FROM holdfast.job j WHERE j.unique_key IS NOT NULL;
    INSERT INTO holdfast.blocked (gate, job_id, queue, priority, attempt, flags, gates)
    SELECT g.gate, g.id, 'default', 5, 1, 8, g.gate FROM (
        SELECT j.id, CASE j.id % 3 WHEN 0 THEN 'lane:long' WHEN 1 THEN 'lane:' || j.id ELSE 'limit:l:' END AS gate
        FROM holdfast.job j ORDER BY j.id OFFSET {FULL} * 2) AS g;
    INSERT INTO holdfast.slot (job_id, gate) SELECT n, 'lane:s' || n FROM generate_series(1, 50000) AS n;
    INSERT INTO holdfast.limit_rule (name, declared, declared_at) VALUES ('limit:l', 100, now());
    INSERT INTO holdfast.gate (name) SELECT 'lane:g' || n FROM generate_series(1, 20000) AS n;
    UPDATE holdfast.job SET gates = 'lane:long', flags = 8 WHERE id = (SELECT min(id) FROM holdfast.job);
    UPDATE holdfast.job SET gates = 'limit:l:', flags = 8
    WHERE id = (SELECT id FROM holdfast.job ORDER BY id OFFSET 1 LIMIT 1);
    INSERT INTO holdfast.lease_exit (lease, job_id) SELECT n, n FROM generate_series(1, 20000) AS n;
    INSERT INTO holdfast.failed_attempt SELECT n, 1, 1, now(), now(), '{{}}' FROM generate_series(1, 20000) AS n;
    INSERT INTO holdfast.loss SELECT n, 1, now(), false FROM generate_series(1, 20000) AS n"""

WORK = """
    SELECT coalesce(sum(seq_tup_read), 0)::bigint AS scanned, coalesce(sum(idx_tup_fetch), 0)::bigint AS fetched
    FROM pg_stat_xact_user_tables
    WHERE schemaname = 'holdfast' AND relname NOT IN ('storage', 'tally_mark', 'worker')"""


class Session:
    """A session whose statements were prepared, and their plans made, before anything was there."""

    def __init__(self, connection: Any, worker: int) -> None:
        self.connection = connection
        self.worker = worker
        self._leases = worker << 36

    async def claim(self, limit: int) -> list[Any]:
        self._leases += limit + 1
        return list(await self.connection.fetch(CLAIM, self.worker, self._leases, limit, QUEUES, PRIORITIES, MARKS))

    async def finish(self, jobs: list[Any], *, again: bool = False) -> list[int]:
        n = len(jobs)
        columns = ([job["lease"] for job in jobs], [job["job_id"] for job in jobs], [1] * n, [1] * n, [0] * n, [0] * n)
        done = sorted({job["lease"] for job in jobs})
        refused: list[int] = await self.connection.fetchval(FINISH, *columns, [1] * n, done, again)
        return refused

    async def marks(self) -> Any:
        return await self.connection.fetchrow(MARKS_SQL, QUEUES, PRIORITIES, MARKS, 1, [])

    async def warm_up(self) -> None:
        """More often than PostgreSQL tries custom plans, so that what is cached was made for empty tables."""
        for n in range(7):
            await self.finish(await self.claim(10))
            await self.marks()
            await self.connection.fetch(PROMOTE)
            for statement, value in ((RETRY, n), (CANCEL, n), (LINE_UP, n)):
                await self.connection.fetch(statement, value)
            await self.connection.fetch(ADMIT, [n])
            undo = self.connection.transaction()
            await undo.start()
            await self.connection.fetchval(TAKE_KEY, f"warm{n}", n)
            await self.connection.fetchval(KEYED, f"warmer{n}")
            await self.finish(await self.claim(10))
            await undo.rollback()


@pytest.fixture
async def full(database_url: str, outsider: Any) -> AsyncIterator[Session]:
    connection = await asyncpg.connect(database_url)
    worker = await connection.fetchval(
        "SELECT holdfast.register_worker_v1('w', 'h', 1, 'i', '0', ARRAY['default'], 1, false)"
    )
    session = Session(connection, worker)
    await session.warm_up()
    await outsider.execute(FILL)
    yield session
    await connection.close(timeout=5)


async def work_of(session: Session, statement: Any) -> tuple[int, int]:
    """Rows read by sequential scans and rows fetched through indexes by one statement."""
    async with session.connection.transaction():
        before = await session.connection.fetchrow(WORK)
        await statement
        after = await session.connection.fetchrow(WORK)
    return after["scanned"] - before["scanned"], after["fetched"] - before["fetched"]


async def test_hot_statements_planned_on_empty_tables_stay_cheap_on_full_ones(full: Session, outsider: Any) -> None:
    keyed = await outsider.fetchrow(
        "SELECT id, unique_key FROM holdfast.job WHERE unique_key IS NOT NULL ORDER BY id LIMIT 1"
    )
    failed = await outsider.fetchval("SELECT job_id FROM holdfast.outcome WHERE state = 2 ORDER BY job_id LIMIT 1")
    ready = await outsider.fetchval("SELECT max(job_id) FROM holdfast.ready")
    gated = [row["id"] for row in await outsider.fetch("SELECT id FROM holdfast.job ORDER BY id LIMIT 2")]
    jobs: list[Any] = []

    async def claim() -> None:
        jobs.extend(await full.claim(100))

    async def finish() -> None:
        assert await full.finish(jobs[:50]) == []

    async def finish_again() -> None:
        await full.finish(jobs[:50], again=True)

    async def fetch(sql: str, *args: Any) -> None:
        await full.connection.fetch(sql, *args)

    async def cancel() -> None:
        rows = await full.connection.fetch(CANCEL, ready)
        assert [row["answer"] for row in rows] == ["cancelled"]

    work = {
        "claim": await work_of(full, claim()),
        "finish": await work_of(full, finish()),
        "finish again": await work_of(full, finish_again()),
        "marks": await work_of(full, full.marks()),
        "promote": await work_of(full, fetch(PROMOTE)),
        "take a held key": await work_of(full, fetch(TAKE_KEY, keyed["unique_key"], 1)),
        "take a new key": await work_of(full, fetch(TAKE_KEY, "new", ready)),
        "enqueue with a held key": await work_of(full, fetch(KEYED, keyed["unique_key"])),
        "enqueue with a new key": await work_of(full, fetch(KEYED, "newer")),
        "retry": await work_of(full, fetch(RETRY, failed)),
        "line up": await work_of(full, fetch(LINE_UP, gated[0])),
        "look after a lane was freed": await work_of(full, fetch(ADMIT, gated[:1])),
        "look after a limit was freed": await work_of(full, fetch(ADMIT, gated[1:])),
    }
    assert len(jobs) == 100
    too_much = {name: rows for name, rows in work.items() if rows[0] > 500 or rows[1] > 2000}
    assert too_much == {}, work
    # Ready has no index by job on purpose; a cancel may walk one level of one queue, and never a whole history.
    assert sum(await work_of(full, cancel())) < 1.5 * FULL


async def test_claims_with_sixty_partitions_fetch_payload_from_one(outsider: Any, database_url: str) -> None:
    for days in range(7, 60 * 7, 7):
        await outsider.execute(f"SET holdfast.clock_offset = '{days} days'")
        await outsider.fetchval("SELECT holdfast.make_partitions_v1()")
    await outsider.execute("RESET holdfast.clock_offset")
    count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'holdfast.job'::regclass"
    assert await outsider.fetchval(count) >= 60
    worker = await outsider.fetchval(
        "SELECT holdfast.register_worker_v1('w', 'h', 1, 'i', '0', ARRAY['default'], 1, false)"
    )
    session = Session(await asyncpg.connect(database_url), worker)
    await session.warm_up()
    await session.connection.execute("SELECT holdfast.enqueue('t', queue => 'default') FROM generate_series(1, 200)")
    touched = """
        SELECT relname, coalesce(seq_scan, 0) + coalesce(idx_scan, 0) AS scans FROM pg_stat_xact_user_tables
        WHERE schemaname = 'holdfast' AND relname ~ '^job_\\d'"""
    locked = """
        SELECT DISTINCT relation::regclass::text FROM pg_locks
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation::regclass::text ~ 'holdfast.job_\\d{8}$'"""
    async with session.connection.transaction():
        before = dict(await session.connection.fetch(touched))
        assert len(await session.claim(200)) == 200
        after = dict(await session.connection.fetch(touched))
        assert len([name for name, scans in after.items() if scans > before.get(name, 0)]) == 1
        assert len(await session.connection.fetch(locked)) <= 2
    await session.connection.close(timeout=5)
