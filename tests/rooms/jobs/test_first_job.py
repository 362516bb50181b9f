"""The very first job of a database."""

from __future__ import annotations

from holdfast.db import Database
from holdfast.jobs import HotPath, NewJob, Producer


async def test_marks_settled_before_the_first_job_do_not_pass_it(database_url: str) -> None:
    """A fresh sequence says last_value 1 before 1 was drawn: a mark of 2 would hide the first job for ever."""
    async with Database(database_url) as database:
        async with database.connection() as connection:
            worker = await connection.fetchval(
                "select holdfast.register_worker_v1('w', 'here', 1, 'i', 'v', array['default'], 1, false)"
            )
        hot = HotPath(database, worker, ["default"])
        for _ in range(3):
            await hot.settle_marks()
        producer = Producer(database)
        job = await producer.enqueue(NewJob("t", "default", "{}", 5, 0))
        batch = await hot.work([], 10)
        assert [claimed.id for claimed in batch.claimed] == [job]
        await producer.close()
        await hot.close()
