"""The history: written beside the jobs, the same however often, by the minute and then by the hour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from holdfast import Holdfast, Retry
from holdfast.db import DatabaseClock, Statement
from holdfast.jobs import Keeper
from holdfast.observe import RANGES, Moment, look, note_version, percentiles, read_history, roll_up
from holdfast.settings import Settings
from tests.situations.places import at_work, later
from tests.waiting import eventually

BOUNDS = (0.1, 1.0, 10.0)
_PROMOTE = Statement("promote", "select promoted from holdfast.promote_v1('-infinity', 10)")


async def ended(app: Holdfast, completed: int, failed: int = 0, *, queue: str = "default") -> None:
    """So many jobs that have ended."""
    if "work" not in app.tasks:

        @app.task(retry=Retry(max_attempts=1))
        async def work(ok: bool) -> None:  # noqa: FBT001
            if not ok:
                raise ValueError("as asked")

    task = app.tasks["work"].options(queue=queue)
    await task.enqueue_many([(n < completed,) for n in range(completed + failed)])
    await app.drain([queue])
    assert await Keeper(app.database, retention_days=30).fold()


async def test_the_last_hour_has_a_bucket_a_minute_and_what_ended_is_in_the_last_ones(app: Holdfast) -> None:
    await ended(app, 7, 3)
    history = await read_history(app.database, RANGES["1h"])

    assert (history.resolution_seconds, len(history.buckets)) == (60, 60)
    ats = [bucket.at for bucket in history.buckets]
    assert all(after - before == timedelta(minutes=1) for before, after in pairwise(ats))
    assert (sum(b.completed for b in history.buckets), sum(b.failed for b in history.buckets)) == (7, 3)
    assert all(bucket.completed == 0 for bucket in history.buckets[:-2])


async def test_how_long_jobs_waited_and_ran_is_there(app: Holdfast, database_url: str) -> None:
    await ended(app, 20)
    await later(database_url, 30)
    await roll_up(app.database)
    timed = [b for b in (await read_history(app.database, RANGES["1h"])).buckets if b.run.p50 is not None]

    assert timed
    assert all(0 < (b.run.p50 or 0) <= (b.run.p95 or 0) <= (b.run.p99 or 0) < 30 for b in timed)
    assert all(0 < (b.wait.p50 or 0) < 30 for b in timed)


async def test_a_job_that_was_to_run_later_says_nothing_about_waiting(app: Holdfast, database_url: str) -> None:
    @app.task
    async def later_on() -> None: ...

    await later_on.options(run_in=5).enqueue()
    await later(database_url, 6)
    assert (await app.drain()).completed == 1
    await later(database_url, 36)
    await roll_up(app.database)
    (timed,) = [b for b in (await read_history(app.database, RANGES["1h"])).buckets if b.run.p50 is not None]

    assert timed.wait.p50 is None


async def test_looking_again_counts_nothing_twice(app: Holdfast, database_url: str, outsider: Any) -> None:
    await ended(app, 50)
    for seconds in (30, 60, 90, 120):
        await later(database_url, seconds)
        await roll_up(app.database)

    assert await outsider.fetchval("select sum(n) from holdfast.pace, unnest(runs) n where minute = '-infinity'") == 50


async def test_an_hour_that_is_over_is_summed_once_and_minutes_go_after_two_days(
    app: Holdfast, database_url: str, outsider: Any
) -> None:
    await ended(app, 5, 1, queue="mail")
    await later(database_url, 30)
    await roll_up(app.database)
    for hours in (2, 2.5, 72):
        await later(database_url, hours * 3600)
        await roll_up(app.database)

    assert await outsider.fetchval("select count(*) from holdfast.tally where minute > '-infinity'") == 0
    assert await outsider.fetch("select completed, failed from holdfast.tally_hour where queue = 'mail'") == [(5, 1)]
    week = await read_history(app.database, RANGES["7d"])
    assert (week.resolution_seconds, len(week.buckets)) == (3600, 168)
    assert sum(bucket.completed for bucket in week.buckets) == 5
    assert [b.run.p50 is not None for b in week.buckets if b.completed] == [True]
    assert sum(bucket.completed for bucket in (await read_history(app.database, RANGES["1h"])).buckets) == 0


async def test_only_the_queues_asked_for_are_counted(app: Holdfast) -> None:
    await ended(app, 2, queue="mail")
    await ended(app, 3, queue="exports")

    async def counted(queues: list[str] | None) -> int:
        return sum(b.completed for b in (await read_history(app.database, RANGES["1h"], queues)).buckets)

    assert [await counted(queues) for queues in (None, ["mail"], ["exports", "mail"], [])] == [5, 2, 5, 0]


async def test_a_pause_and_a_lost_worker_are_moments(app: Holdfast, database_url: str, outsider: Any) -> None:
    await app.queues.pause("mail", reason="provider is down")
    await outsider.execute(
        "select holdfast.declare_dead_v1("
        "    holdfast.register_worker_v1('w-1', 'here', 1, 'x', '0', '{mail}', 1, false), 'killed')"
    )
    await later(database_url, 30)
    await roll_up(app.database)
    moments = (await read_history(app.database, RANGES["1h"])).moments

    assert sorted((moment.kind, moment.text) for moment in moments) == [
        ("paused", "queue mail paused: provider is down"),
        ("worker_lost", "w-1 on here: killed"),
    ]


async def test_a_version_is_noted_once_when_it_begins_to_work(app: Holdfast, database_url: str) -> None:
    for minute, version in enumerate(("v1", "v1", "v2", "v2", "v1")):
        await later(database_url, 120 * minute)
        await asyncio.gather(*(note_version(app.database, version) for _ in range(3)))
    moments = (await read_history(app.database, RANGES["1h"])).moments

    assert [(moment.kind, moment.text) for moment in moments] == [
        ("deployed", "version v1"),
        ("deployed", "version v2"),
        ("deployed", "version v1"),
    ]


async def test_a_worker_notes_the_version_of_its_application(database_url: str) -> None:
    app = Holdfast(settings=Settings(database_url=database_url, app_version="2026.11"))
    async with app, at_work(app, "default", name="w-1"):
        moments = await eventually(lambda: moments_of(app))
    assert [(moment.kind, moment.text) for moment in moments] == [("deployed", "version 2026.11")]


async def moments_of(app: Holdfast) -> Sequence[Moment]:
    return (await read_history(app.database, RANGES["1h"])).moments


async def test_how_long_something_is_ready_counts_from_when_it_became_ready(app: Holdfast, database_url: str) -> None:
    clock = DatabaseClock(database_url)

    @app.task
    async def work() -> None: ...

    await work.options(run_in=600).enqueue()
    clock.set_ahead(590)
    await roll_up(app.database)
    clock.set_ahead(620)
    await app.database.fetchval(_PROMOTE)
    (queue,) = (await look(app.database)).queues

    assert queue.ready == 1
    assert 29 < (queue.oldest_seconds or 0) < 60


@pytest.mark.parametrize(
    ("counts", "p50"),
    [
        ((10, 0, 0, 0), 0.05),
        ((0, 10, 0, 0), 0.55),
        ((5, 5, 0, 0), 0.1),
        ((0, 0, 0, 10), 10.0),
        ((0, 0, 0, 0), None),
        (None, None),
    ],
)
def test_percentiles_lie_within_their_interval(counts: tuple[int, ...] | None, p50: float | None) -> None:
    assert percentiles(counts, BOUNDS).p50 == p50
