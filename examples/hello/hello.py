"""The smallest program: a task that is retried, a task that happens exactly once, and a queue that is drained.

python examples/hello/hello.py          enqueue, run, show
holdfast up examples/hello/hello.py     serve these tasks until Ctrl-C
"""

from __future__ import annotations

import asyncio

from holdfast import Holdfast, Job, Retry

app = Holdfast()


@app.task(retry=Retry(max_attempts=5), timeout_seconds=30)
async def send_welcome(user_id: int, language: str = "en") -> str:
    """Pretend to send a mail. What it returns is kept with the job."""
    return f"welcomed user {user_id} in {language}"


@app.task(transactional=True)
async def settle(job: Job, order_id: int) -> None:
    """Effects and completion are one commit: this row is written once, however often the worker dies."""
    async with job.transaction() as tx:
        await tx.execute("CREATE TABLE IF NOT EXISTS settled (order_id integer)")
        await tx.execute("INSERT INTO settled VALUES ($1)", order_id)


async def main() -> None:
    """Enqueue a few jobs, run them in this process, and show what became of one."""
    async with app:
        welcome = await send_welcome.enqueue(42)
        await send_welcome.enqueue_many([(1,), (2, "de")])
        await settle.enqueue(7)
        report = await app.drain()
        print(f"{report.completed} jobs completed, {report.failed} failed")
        print(await app.jobs.result(welcome))


if __name__ == "__main__":
    asyncio.run(main())
