"""F14: retention lets go of history while a real pg_dump reads it; no enqueue and no worker ever waits for it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.db.embedded import Binaries
from holdfast.jobs import Keeper, audit
from tests.lock_watch import lock_watch
from tests.rooms.jobs.hand import Hand
from tests.waiting import eventually

# More than a pipe holds, so that a dump nobody reads stands still with all its locks.
PAYLOAD = "x" * 20_000
OLD_JOBS = 50
# It locks one table after another: what it has not come to yet, retention may still drop.
_DUMPING = """
    SELECT NOT EXISTS (
        SELECT FROM pg_class c WHERE c.relnamespace = 'holdfast'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT EXISTS (
            SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE a.application_name = 'pg_dump' AND l.relation = c.oid AND l.granted))"""
CLAIM = "SELECT * FROM holdfast.claim_v1($1, $2, 1, ARRAY['default'], ARRAY[5]::smallint[], ARRAY[0])"
FINISH = """
    SELECT refused FROM holdfast.finish_v1(ARRAY[$1::bigint], ARRAY[$2::bigint], '{1}', '{1}', '{0}', '{0}', NULL, NULL,
                              '{default}', '{1}', ARRAY[$1], false)"""
_WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ '(DETACH|DROP)'"""


@contextmanager
def dump(binaries: Binaries, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """pg_dump of this server's own version, reading, until somebody reads what it says."""
    with subprocess.Popen(
        [binaries.directory / "pg_dump", "--dbname", url, "--schema", "holdfast"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@asynccontextmanager
async def weeks_later(app: Holdfast, url: str, outsider: Any) -> AsyncIterator[Holdfast]:
    """An application whose jobs so far are older than its retention."""

    @app.task
    async def work(text: str) -> None: ...

    hand = await Hand.registered(app.database)
    await work.enqueue_many([(PAYLOAD,)] * OLD_JOBS)
    await hand.complete(*await hand.claim())
    await hand.complete()  # and the lease ends
    await work.enqueue(PAYLOAD)  # one that is still to be run
    name = await outsider.fetchval("SELECT current_database()")
    await outsider.execute(f"ALTER DATABASE {name} SET holdfast.clock_offset = '45 days'")
    async with Holdfast(url) as later:
        await Keeper(later.database, retention_days=30).tidy()
        yield later


async def work_on(application: Any, worker: Any) -> None:
    """Thirty jobs enqueued, claimed and completed, one after the other."""
    number = await worker.fetchval(
        "SELECT holdfast.register_worker_v1('w', 'h', 1, 'i', '0', ARRAY['default'], 1, false)"
    )
    for turn in range(1, 31):
        await application.execute("SELECT holdfast.enqueue('work', queue => 'default')")
        rows = await worker.fetch(CLAIM, number, number << 36 | turn)
        for row in rows:
            await worker.execute(FINISH, row["lease"], row["job_id"])
        assert rows


async def enqueue_and_run(url: str, retaining: asyncio.Task[Any], outsider: Any) -> list[str]:
    """An application and a worker go on while retention waits for the dump; what of theirs waited for a lock."""

    async def retention_waits() -> bool:
        return bool(await outsider.fetchval(_WAITS)) or retaining.done()

    await eventually(retention_waits)
    assert not retaining.done(), "retention did not meet the dump"
    application, worker = await asyncpg.connect(url), await asyncpg.connect(url)
    pids = application.get_server_pid(), worker.get_server_pid()
    async with lock_watch(url) as watch:
        working = asyncio.create_task(work_on(application, worker))
        await eventually(lambda: working.done() or watch.waits_of(*pids), within_seconds=30)
        application.terminate()
        worker.terminate()
        (ended,) = await asyncio.gather(working, return_exceptions=True)
    waited = watch.waits_of(*pids)
    assert waited or ended is None, ended
    return waited


async def test_nobody_waits_while_retention_waits_for_a_dump(
    app: Holdfast, database_url: str, outsider: Any, binaries: Binaries
) -> None:
    async with weeks_later(app, database_url, outsider) as later:
        keeper = Keeper(later.database, retention_days=30)
        with dump(binaries, database_url) as process:
            await eventually(lambda: outsider.fetchval(_DUMPING), within_seconds=20)
            retaining = asyncio.create_task(keeper.retain())

            assert await enqueue_and_run(database_url, retaining, outsider) == []

            assert not retaining.done()
            out, err = await asyncio.to_thread(process.communicate)
            assert process.returncode == 0, err
        assert out.count(PAYLOAD.encode()) == OLD_JOBS + 1, "the dump is not whole"
        await asyncio.wait_for(retaining, 30)
        await keeper.retain()
        assert await outsider.fetchval("SELECT count(*) FROM holdfast.expired_partitions_v1('30 days')") == 0
        misplaced, _ = await audit(later.database)
        assert misplaced == []


async def test_a_retention_that_locks_the_parent_is_caught(
    app: Holdfast, database_url: str, outsider: Any, binaries: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken build drops the partition as it stands, which locks the table that everybody writes to."""

    async def drop(keeper: Keeper, name: str) -> bool:
        connection = await keeper._database.connect_direct()
        assert connection is not None
        try:
            await connection.execute(f"DROP TABLE holdfast.job_{name}")
        finally:
            connection.terminate()
        return True

    monkeypatch.setattr(Keeper, "_detach", drop)
    async with weeks_later(app, database_url, outsider) as later:
        with dump(binaries, database_url):
            await eventually(lambda: outsider.fetchval(_DUMPING), within_seconds=20)
            retaining = asyncio.create_task(Keeper(later.database, retention_days=30).retain())

            assert await enqueue_and_run(database_url, retaining, outsider)

            retaining.cancel()
            await asyncio.gather(retaining, return_exceptions=True)
