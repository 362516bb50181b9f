"""Ten bad situations, each made by real means, with the sentence that the verdict must say.

``async with situation.seeded(url):`` makes it in a migrated database and keeps it until the block ends; whoever looks
meanwhile, through whatever surface, must be able to tell what is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from holdfast import Holdfast, Retry
from tests.situations.places import WorkerProcess, WorkerThread, at_work, later, opened, seen

Seed = Callable[[str], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Situation:
    """``sentence``: a pattern that one reason must match; ``status``: how it stands as a whole."""

    name: str
    kind: str
    status: str
    sentence: str
    seeded: Seed

    def __str__(self) -> str:
        return self.name


@contextlib.asynccontextmanager
async def nobody_listens(url: str) -> AsyncIterator[None]:
    """Jobs go to "mail", the worker serves "mails"."""
    async with opened(url) as app:

        @app.task(queue="mail")
        async def send(to: str) -> None: ...

        await send.enqueue_many([(f"user-{n}",) for n in range(12)])
        async with at_work(app, "mails", name="w-7"):
            yield


@contextlib.asynccontextmanager
async def paused_with_backlog(url: str) -> AsyncIterator[None]:
    """Somebody paused a queue, and has gone home."""
    async with opened(url) as app:

        @app.task(queue="exports")
        async def export(n: int) -> None: ...

        await app.queues.pause("exports", reason="provider is down", by="ada")
        await export.enqueue_many([(n,) for n in range(40)])
        async with at_work(app, "exports", name="w-1"):
            yield


@contextlib.asynccontextmanager
async def not_claiming(url: str) -> AsyncIterator[None]:
    """A handler blocks the event loop of its worker; the supervisor beats on."""
    release = threading.Event()
    theirs = Holdfast(url)

    @theirs.task(queue="thumbnails")
    async def shrink(n: int) -> None:
        release.wait(600)

    worker = WorkerThread(theirs, "thumbnails", name="w-3")
    async with opened(url) as app:
        await app.jobs.enqueue_by_name("shrink", {"n": 1}, queue="thumbnails")
        worker.start()
        try:
            await seen(app, lambda sight: bool(sight.live) and sight.live[0].claimed_seconds is not None)
            for n in range(2, 9):
                await app.jobs.enqueue_by_name("shrink", {"n": n}, queue="thumbnails")
            await later(url, 120)
            await seen(app, lambda sight: bool(sight.live) and (sight.live[0].asked_seconds or 0) > 60)
            yield
        finally:
            release.set()
            await worker.end()


_APP = """
import asyncio
from holdfast import Holdfast

app = Holdfast()

@app.task(queue="reports")
async def report(n: int) -> None:
    await asyncio.sleep(600)
"""


@contextlib.asynccontextmanager
async def all_workers_dead(url: str) -> AsyncIterator[None]:
    """The machine that ran the only worker is gone; nobody is left to declare it dead."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "reports.py").write_text(_APP)
        worker = WorkerProcess(
            url, folder, "--app", str(folder / "reports.py"), "--queues", "reports", "--concurrency", "2"
        )
        try:
            async with opened(url) as app:
                for n in range(6):
                    await app.jobs.enqueue_by_name("report", {"n": n}, queue="reports")
                await seen(app, lambda sight: any(len(one.running) == 2 for one in sight.live))
                worker.kill()
                await later(url, 180)
                await seen(app, lambda sight: not sight.live)
                yield
        finally:
            worker.kill()


@contextlib.asynccontextmanager
async def lane_held(url: str) -> AsyncIterator[None]:
    """A job of a lane hangs on its provider, the others of that lane wait."""
    async with opened(url) as app:
        release = asyncio.Event()

        @app.task(queue="sync")
        async def sync_user(n: int) -> None:
            await release.wait()

        await sync_user.options(lane="user-42").enqueue_many([(n,) for n in range(5)])
        async with at_work(app, "sync", name="w-2"):
            await seen(app, lambda sight: any(one.running for one in sight.live))
            await later(url, 14 * 60)
            try:
                yield
            finally:
                release.set()


@contextlib.asynccontextmanager
async def failure_burst(url: str) -> AsyncIterator[None]:
    """A provider answers nonsense: one kind of job fails, again and again."""
    async with opened(url) as app:

        @app.task(queue="payments", retry=Retry(max_attempts=1))
        async def charge(n: int) -> None:
            if n % 4:
                raise ConnectionError("card gateway answered 502")

        await charge.enqueue_many([(n,) for n in range(60)])
        async with at_work(app, "payments", name="w-5"):
            await seen(app, lambda sight: sum(queue.failed for queue in sight.queues) >= 45)
            yield


@contextlib.asynccontextmanager
async def schedule_missed(url: str) -> AsyncIterator[None]:
    """A nightly report is due, and no worker of its application runs any more."""
    async with opened(url) as app:

        @app.schedule("*/5 * * * *", name="cleanup")
        async def cleanup() -> None: ...

        await app.declare()
        await later(url, 20 * 60)
        yield


@contextlib.asynccontextmanager
async def projection_stopped(url: str) -> AsyncIterator[None]:
    """A projection whose policy is to stop stands before an event that it cannot handle."""
    async with opened(url) as app:

        @app.projection("open_orders", on_failure="stop", retry=Retry(max_attempts=1))
        async def open_orders(tx: object, event: object) -> None:
            raise ValueError("order without a customer")

        from holdfast.events import Event

        await app.events.append("order-1", [Event("OrderPlaced", {"total": 3})])
        async with at_work(app, "default", name="w-9"):
            await seen(app, lambda sight: any(each.stopped for each in sight.projected))
            yield


@contextlib.asynccontextmanager
async def log_stalled(url: str) -> AsyncIterator[None]:
    """A session has appended and does not commit: readers of the log wait for it."""
    from holdfast.events import Event

    async with opened(url) as app:

        @app.projection("balances")
        async def balances(tx: object, event: object) -> None: ...

        forgotten = await asyncpg.connect(url, server_settings={"application_name": "nightly-import"})
        try:
            async with at_work(app, "default", name="w-4"):
                open_transaction = forgotten.transaction()
                await open_transaction.start()
                await app.events.using(forgotten).append("account-1", [Event("Opened", {})])
                await app.events.append("account-2", [Event("Opened", {})])
                await seen(app, lambda sight: any((one.age_seconds or 0) >= 5 for one in sight.log.holders))
                try:
                    yield
                finally:
                    await open_transaction.rollback()
        finally:
            await forgotten.close(timeout=5)


@contextlib.asynccontextmanager
async def connections_used_up(url: str) -> AsyncIterator[None]:
    """An application opens connections and gives none back."""
    async with opened(url) as app:
        leaked: list[asyncpg.Connection] = []
        try:
            while not await _used(app, 0.92):
                leaked.append(await asyncpg.connect(url, server_settings={"application_name": "leaky-web"}))
            yield
        finally:
            for connection in leaked:
                connection.terminate()


async def _used(app: Holdfast, share: float) -> bool:
    from holdfast.observe import look

    server = (await look(app.database)).server
    return server.connections >= share * server.allowed


TEN = (
    Situation(
        "nobody listens",
        "nobody_listens",
        "STALLED",
        r'queue mail: 12 ready, oldest .+, no worker listens \(did you mean "mails"\? worker w-7 does\)',
        nobody_listens,
    ),
    Situation(
        "paused with backlog",
        "paused_with_backlog",
        "DEGRADED",
        r"queue exports: paused .+ ago by ada \(provider is down\), 40 ready",
        paused_with_backlog,
    ),
    Situation(
        "worker alive, not claiming",
        "not_claiming",
        "STALLED",
        r"queue thumbnails: 7 ready, oldest 2 min, its workers are alive and none of them asks for jobs "
        r"\(w-3 for 2 min\)",
        not_claiming,
    ),
    Situation(
        "all workers dead",
        "worker_silent",
        "STALLED",
        r"worker .+ has not been heard of for 3 min; no worker is live any more",
        all_workers_dead,
    ),
    Situation(
        "lane held by a hung job",
        "lane_held",
        "DEGRADED",
        r'lane "user-42": 4 jobs wait behind job \d+ \(sync_user, running 14 min on w-2\)',
        lane_held,
    ),
    Situation(
        "failure burst",
        "failing",
        "DEGRADED",
        r"queue payments: 45 of 60 attempts failed in 5 min, mostly ConnectionError in charge",
        failure_burst,
    ),
    Situation(
        "missed schedule",
        "schedule_missed",
        "DEGRADED",
        r"schedule cleanup: due \d+ min ago, and no worker has decided about it \(no worker is live\)",
        schedule_missed,
    ),
    Situation(
        "projection stopped at a poison event",
        "projection_stopped",
        "DEGRADED",
        r"projection open_orders: 1 partition stopped at an event that fails, 1 event behind",
        projection_stopped,
    ),
    Situation(
        "event log stalled",
        "log_stalled",
        "STALLED",
        r"event log: readers wait at position \d+, \d+ positions? behind; "
        r"pid \d+ \(nightly-import, idle in transaction\) has held a transaction with an append open for \d+ s",
        log_stalled,
    ),
    Situation(
        "connections used up",
        "connections_used_up",
        "DEGRADED",
        r"database: \d+ of \d+ connections are in use \(leaky-web \d+",
        connections_used_up,
    ),
)
