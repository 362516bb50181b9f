"""What a running job says about itself: progress, log lines, checkpoints, and loops that go on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from holdfast import Holdfast, Job
from holdfast.clock import monotonic
from holdfast.errors import ConfigurationError, JobNotFound, LeaseLost
from holdfast.jobs import SOLO, Claimed, Reports, Retry
from holdfast.jobs.log_lines import LogBuffer
from tests.rooms.jobs.hand import Hand
from tests.rooms.working import working
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _the_application_logs_from_info_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("shop"), "level", logging.INFO)
    logging.getLogger("shop").manager._clear_cache()  # type: ignore[attr-defined]


ONCE_MORE = Retry(max_attempts=2, delay_seconds=0.0)


# --- progress


async def test_progress_is_seen_while_the_job_runs_and_after_it(app: Holdfast) -> None:
    go_on = asyncio.Event()

    @app.task
    async def match(job: Job) -> None:
        job.progress(1, 10)
        job.progress(3, 10, "matching")
        await go_on.wait()
        job.progress(10, 10, "done")

    async with working(app):
        job_id = await match.enqueue()

        async def seen() -> bool:
            progress = (await app.jobs.show(job_id)).progress
            return progress is not None and (progress.done, progress.total, progress.message) == (3, 10, "matching")

        await eventually(seen)
        go_on.set()
        await app.jobs.wait(job_id)
    progress = (await app.jobs.show(job_id)).progress
    assert progress is not None
    assert (progress.done, progress.message) == (10, "done")


async def test_a_thousand_reports_are_a_write_a_second_and_a_job_that_says_nothing_has_no_row(
    app: Holdfast, outsider: Any
) -> None:
    @app.task
    def talk(job: Job) -> None:
        for done in range(1_000):
            job.progress(done)

    @app.task
    async def be_silent() -> None: ...

    begun_at = monotonic()
    job_id = await talk.enqueue()
    silent = await be_silent.enqueue()
    await app.drain()
    took = monotonic() - begun_at
    # The versions of a row since it was inserted are what its address has moved by.
    versions = await outsider.fetchval("SELECT (ctid::text::point)[1] FROM holdfast.progress WHERE job_id = $1", job_id)
    assert versions <= took + 2
    progress = (await app.jobs.show(job_id)).progress
    assert progress is not None
    assert progress.done == 999
    assert (await app.jobs.show(silent)).progress is None


async def test_a_lost_lease_reports_nothing_over_the_one_that_took_over(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    first, second = await Hand.registered(app.database), await Hand.registered(app.database)
    job_id = await work.enqueue()
    old = await first.claim_one()
    reports = Reports(app.database)
    reports.progress(old, 1, 2, "first")
    await reports.flush()
    await first.die()
    new = await second.claim_one()
    reports.progress(new, 0, 2, "second")
    await reports.flush()
    reports.progress(old, 2, 2, "zombie")
    await reports.flush()
    progress = (await app.jobs.show(job_id)).progress
    assert progress is not None
    assert progress.message == "second"
    assert not await reports.checkpoints.save(old, 1)
    assert await reports.checkpoints.save(new, 2)
    await second.complete(new)
    reports.progress(new, 2, 2, "last words")
    await reports.flush()
    progress = (await app.jobs.show(job_id)).progress
    assert progress is not None
    assert progress.message == "last words"


# --- log lines


async def test_log_lines_belong_to_the_attempt_that_said_them(app: Holdfast) -> None:
    log = logging.getLogger("shop")
    logging.getLogger("shop").info("nobody's line")

    @app.task(retry=ONCE_MORE)
    async def pay(job: Job, n: int) -> None:
        log.info("paying %d", n)
        logging.getLogger("shop.deep").debug("too quiet to be kept")
        if job.attempt == 1:
            try:
                raise OSError("no route")
            except OSError:
                log.exception("provider")
                raise
        await asyncio.to_thread(log.warning, "paid %d in a thread", n)

    @app.task
    def plain(n: int) -> None:
        log.error("thread %d%s", n, "\x00")

    first, second = await pay.enqueue(1), await plain.enqueue(2)
    await app.drain()
    told = [
        (line.attempt, line.level, line.logger, line.message.splitlines()[0]) for line in await app.jobs.logs(first)
    ]
    assert told == [
        (1, "info", "shop", "paying 1"),
        (1, "error", "shop", "provider"),
        (2, "info", "shop", "paying 1"),
        (2, "warning", "shop", "paid 1 in a thread"),
    ]
    assert "OSError: no route" in (await app.jobs.logs(first))[1].message
    assert [line.message for line in await app.jobs.logs(second)] == ["thread 2\\0"]
    with pytest.raises(JobNotFound):
        await app.jobs.logs(1)


def test_a_line_that_cannot_be_formatted_is_kept_as_it_stands_and_a_long_one_is_cut() -> None:
    buffer = LogBuffer(logging.INFO)
    claimed = Claimed(1, 1, "default", 5, 1, 0, "t", "{}", None, None, None, 0.0)
    for number, arguments in enumerate([("a %d", "text"), ("%s", "x" * 10_000)], start=1):
        buffer.hear(claimed, number, logging.LogRecord("shop", logging.INFO, "", 1, arguments[0], arguments[1:], None))
    broken, long = buffer.take(10)
    assert broken.message.startswith("a %d (could not be formatted")
    assert len(long.message) == 8_000


async def test_logging_is_as_it_was_when_the_worker_is_gone(app: Holdfast, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    kept = root.handlers[:]
    root.handlers[:] = []  # an application that never set logging up

    @app.task
    async def warn() -> None:
        logging.getLogger("shop").warning("to stderr as ever")

    try:
        job_id = await warn.enqueue()
        await app.drain()
        assert root.handlers == []
        assert root.level == before[1]
    finally:
        root.handlers[:] = kept
    assert capfd.readouterr().err.count("to stderr as ever") == 1
    assert [line.message for line in await app.jobs.logs(job_id)] == ["to stderr as ever"]


async def test_followed_lines_come_until_the_job_has_ended(app: Holdfast) -> None:
    said = asyncio.Event()

    @app.task
    async def talk() -> None:
        logging.getLogger("shop").info("one")
        await said.wait()
        logging.getLogger("shop").info("two")

    lines: list[str] = []
    async with working(app):
        job_id = await talk.enqueue()
        async with asyncio.timeout(20):
            async for line in app.jobs.follow_logs(job_id):
                lines.append(line.message)
                said.set()
    assert lines == ["one", "two"]


async def test_an_attempt_that_talks_without_end_is_cut_and_says_so(app: Holdfast, outsider: Any) -> None:
    @app.task
    def talk() -> None:
        log = logging.getLogger("shop")
        for n in range(10_100):
            log.info("%d", n)

    job_id = await talk.enqueue()
    await app.drain()
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.job_log WHERE job_id = $1", job_id) == 10_000
    last = await outsider.fetchval("SELECT message FROM holdfast.job_log ORDER BY number DESC LIMIT 1")
    assert last == "10000 lines of this attempt are kept, no more"


async def test_old_days_of_log_lines_go_and_a_missing_day_is_made(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def talk() -> None:
        logging.getLogger("shop").info("hello")

    job_id = await talk.enqueue()
    await app.drain()
    days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'holdfast.job_log'::regclass"
    assert await outsider.fetchval(days) == 3
    await outsider.execute("SET holdfast.clock_offset = '8 days'")
    assert await outsider.fetchval("SELECT holdfast.drop_log_partitions_v1('7 days')") == 1
    assert list(await app.jobs.logs(job_id)) == []
    await outsider.execute("SET holdfast.clock_offset = '40 days'")
    await outsider.execute(
        "SELECT holdfast.write_log_v1(ARRAY[$1::bigint], '{1}', '{1}', '{1}', '{0}', '{20}', '{shop}', '{late}')",
        job_id,
    )
    assert [line.message for line in await app.jobs.logs(job_id)] == ["late"]


# --- checkpoints and loops


async def test_a_loop_goes_on_where_the_last_attempt_stopped(app: Holdfast) -> None:
    done: list[int] = []

    @app.task(retry=ONCE_MORE)
    async def work(job: Job) -> str:
        async for item in job.iterate(range(10), every_seconds=0.0):
            if item == 4 and job.attempt == 1:
                raise OSError("in the middle")
            done.append(item)
        return "all"

    job_id = await work.enqueue()
    await app.drain()
    assert (await app.jobs.show(job_id)).result == "all"
    assert done == list(range(10))


async def test_a_loop_in_a_thread_goes_on_by_cursor(app: Holdfast) -> None:
    asked: list[Any] = []
    done: list[int] = []

    @app.task(retry=ONCE_MORE)
    def work(job: Job) -> None:
        def rows_after(last: int | None) -> Iterator[int]:
            asked.append(last)
            return iter([n for n in (10, 20, 30, 40) if n > (last or 0)])

        for row in job.iterate_sync(rows_after, cursor=lambda row: row, every_seconds=0.0):
            if row == 30 and job.attempt == 1:
                raise OSError("in the middle")
            done.append(row)

    await work.enqueue()
    await app.drain()
    assert asked == [None, 20]
    assert done == [10, 20, 30, 40]


async def test_a_loop_over_an_async_source_is_interrupted_by_the_end_of_the_worker_and_goes_on_in_the_next(
    app: Holdfast,
) -> None:
    done: list[int] = []
    reached = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        for n in range(6):
            yield n

    @app.task
    async def work(job: Job) -> None:
        async for item in job.iterate(source()):
            done.append(item)
            if item == 2 and not reached.is_set():
                reached.set()
                await eventually(lambda: job.should_stop)

    async with working(app):
        job_id = await work.enqueue()
        await reached.wait()
    assert (await app.jobs.show(job_id)).state == "ready"
    await app.drain()
    info = await app.jobs.show(job_id)
    assert (info.state, info.attempt) == ("completed", 1)
    assert done == list(range(6))


async def test_a_thread_that_runs_out_of_time_in_its_loop_has_failed_and_kept_its_place(app: Holdfast) -> None:
    done: list[int] = []
    stopped = threading.Event()

    @app.task(soft_timeout_seconds=0.5, timeout_seconds=30, retry=Retry(max_attempts=1))
    def work(job: Job) -> None:
        for item in job.iterate_sync(range(5)):
            done.append(item)
            while item == 1 and not job.should_stop:
                stopped.wait(0.01)

    job_id = await work.enqueue()
    await app.drain()
    info = await app.jobs.show(job_id)
    assert info.state == "failed"
    assert info.error is not None
    assert info.error["type"] == "JobTimeout"
    assert done == [0, 1]
    await app.jobs.retry(job_id)
    await app.drain()
    assert done == [0, 1, 2, 3, 4]


async def test_many_checkpoints_at_once_share_statements_and_a_bad_one_fails_alone(
    app: Holdfast, outsider: Any
) -> None:
    @app.task
    async def work(job: Job, n: int) -> None:
        await job.checkpoint({"n": n})
        assert await job.last_checkpoint() == {"n": n}

    @app.task(retry=Retry(max_attempts=1))
    async def bad(job: Job) -> None:
        await job.checkpoint(object())

    ids = await work.enqueue_many([(n,) for n in range(50)])
    wrong = await bad.enqueue()
    await app.drain()
    assert {(await app.jobs.show(job_id)).state for job_id in ids} == {"completed"}
    assert (await app.jobs.show(wrong)).state == "failed"
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.checkpoint") == 50


async def test_a_checkpoint_commits_with_what_it_counts(app: Holdfast, outsider: Any) -> None:
    await outsider.execute("CREATE TABLE counted (n integer)")

    @app.task(transactional=True, retry=ONCE_MORE)
    async def count(job: Job) -> None:
        begin = await job.last_checkpoint(default=0)
        for n in range(begin, 5):
            async with app.database.connection() as connection, connection.transaction():
                await connection.execute("INSERT INTO counted VALUES ($1)", n)
                await job.checkpoint(n + 1, using=connection)
                if n == 2 and job.attempt == 1:
                    raise OSError("before the commit")

    await count.enqueue()
    await app.drain()
    assert [row["n"] for row in await outsider.fetch("SELECT n FROM counted ORDER BY n")] == [0, 1, 2, 3, 4]


async def test_a_checkpoint_under_a_lost_lease_rolls_its_transaction_back(app: Holdfast, outsider: Any) -> None:
    await outsider.execute("CREATE TABLE counted (n integer)")

    @app.task(transactional=True)
    async def count(job: Job) -> None: ...

    await count.enqueue()
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    assert claimed.flags & SOLO
    await hand.die()
    job = Job(claimed, app.database, 60.0, lambda _: None, Reports(app.database))

    async def count_on() -> None:
        async with app.database.connection() as connection, connection.transaction():
            await connection.execute("INSERT INTO counted VALUES (1)")
            await job.checkpoint(1, using=connection)

    with pytest.raises(LeaseLost):
        await count_on()
    assert await outsider.fetchval("SELECT count(*) FROM counted") == 0
    assert job.should_stop


async def test_what_cannot_work_says_why(app: Holdfast) -> None:
    @app.task
    async def work(job: Job) -> None:
        job.iterate([1])
        with pytest.raises(ConfigurationError, match="second loop"):
            job.iterate([1])
        with pytest.raises(ConfigurationError, match="by cursor over a function"):
            job.iterate([1], cursor=lambda item: item)
        with pytest.raises(ConfigurationError, match="transactional=True"):
            await job.checkpoint(1, using=object())
        with pytest.raises(ConfigurationError, match="block the event loop"):
            job.checkpoint_sync(1)

    job_id = await work.enqueue()
    await app.drain()
    assert (await app.jobs.show(job_id)).state == "completed"


async def test_the_rows_of_a_job_go_with_it(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work(job: Job) -> None:
        job.progress(1)
        await job.checkpoint(1)

    job_id = await work.enqueue()
    await app.drain()
    await outsider.execute("INSERT INTO holdfast.job_edit (job_id, edited_at) VALUES ($1, now())", job_id)
    await outsider.execute("INSERT INTO holdfast.attempt_link VALUES ($1, 1, 1, 'engine', 'name', NULL, now())", job_id)
    name = (await outsider.fetchval("SELECT tableoid::regclass::text FROM holdfast.job")).rpartition("_")[2]
    for table in ("job", "outcome"):
        await outsider.execute(f"ALTER TABLE holdfast.{table} DETACH PARTITION holdfast.{table}_{name}")
    await outsider.execute("SELECT holdfast.drop_detached_v1($1)", name)
    for table in ("progress", "checkpoint", "job_edit", "attempt_link"):
        assert await outsider.fetchval(f"SELECT count(*) FROM holdfast.{table}") == 0


async def test_progress_that_cannot_be_stored_holds_back_nobody_elses(
    app: Holdfast, caplog: pytest.LogCaptureFixture
) -> None:
    @app.task
    async def work() -> None: ...

    hand = await Hand.registered(app.database)
    odd, well = [await work.enqueue() for _ in range(2)]
    reports = Reports(app.database)
    for claimed in await hand.claim():
        reports.progress(claimed, 2**70 if claimed.id == odd else 1, None, None)
    await reports.flush()

    progress = (await app.jobs.show(well)).progress
    assert progress is not None
    assert progress.done == 1
    assert (await app.jobs.show(odd)).progress is None
    assert f"the progress of job {odd} could not be stored" in caplog.text
    caplog.clear()
    await reports.flush()
    assert caplog.text == ""


async def test_half_a_character_in_a_message_is_shown_as_far_as_it_can_be(app: Holdfast) -> None:
    @app.task
    async def work(job: Job) -> None:
        job.progress(1, None, "caf\ud800")

    job_id = await work.enqueue()
    await app.drain()

    progress = (await app.jobs.show(job_id)).progress
    assert progress is not None
    assert progress.message == "caf?"
