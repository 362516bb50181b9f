"""Searches: what a filter finds page by page, and what it costs where it finds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.errors import FilterInvalid
from holdfast.jobs import FINAL, JobFilter, Place
from holdfast.jobs import search as searching
from tests.rooms.jobs.hand import Hand
from tests.waiting import eventually

# Finished jobs of the queue `done`, with ids from long ago: 1 in 100 failed, 1 in 100 cancelled.
FILL = """
    WITH numbered AS (SELECT s.lowest_id + n AS id, n FROM holdfast.storage s, generate_series(1, $1::integer) AS n),
    stored AS (
        INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
        SELECT id, 'done', 't', '{}', 5, 0 FROM numbered)
    INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)
    SELECT id, 0, CASE n % 100 WHEN 0 THEN 2 WHEN 1 THEN 3 ELSE 1 END, 1, now(),
           CASE WHEN n % 100 = 0 THEN '{"type": "Broken", "message": "m"}'::jsonb END FROM numbered"""


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_WINDOW", 7)
    monkeypatch.setattr(searching, "_WINDOW_WITH_TERMS", 7)
    monkeypatch.setattr(searching, "_SCATTERED", 2)


async def everything(app: Holdfast, text: str, *, limit: int = 3, patience: float | None = None) -> list[int]:
    """All pages, one after another."""
    found, ids, after = JobFilter.parse(text), list[int](), None
    while True:
        page = await app.jobs.search(found, after=after, limit=limit, patience_seconds=patience)
        ids += [match.id for match in page.jobs]
        if page.next is None:
            return ids
        after = page.next


async def one_in_each_place(app: Holdfast) -> dict[str, Sequence[int]]:
    """Two jobs in every place, made the way that jobs come there."""

    @app.task(queue="mail")
    async def work(n: int) -> None: ...

    hand = await Hand.registered(app.database, "mail")
    places: dict[str, Sequence[int]] = {}
    for place, finish in (("completed", hand.complete), ("failed", hand.fail)):
        places[place] = [await work.enqueue(n) for n in range(2)]
        await finish(*await hand.claim())
    places["cancelled"] = [await work.enqueue(n) for n in range(2)]
    await app.jobs.cancel(*places["cancelled"])
    places["running"] = [await work.enqueue(n) for n in range(2)]
    await hand.claim()
    places["scheduled"] = [await work.options(run_in="1h").enqueue(n) for n in range(2)]
    places["blocked"] = [await work.options(lane="l").enqueue(n) for n in range(2)]
    places["ready"] = [await work.enqueue(n) for n in range(2)]
    return places


@pytest.mark.usefixtures("small_windows")
async def test_every_set_of_places_is_found_newest_first_and_once_whatever_the_window(app: Holdfast) -> None:
    places = await one_in_each_place(app)
    for place, ids in places.items():
        assert await everything(app, f"state={place}", limit=1) == ids[::-1], place
    for wanted in (("ready", "failed"), ("failed", "cancelled"), ("completed", "cancelled"), ("scheduled", "blocked")):
        expected = sorted((job_id for place in wanted for job_id in places[place]), reverse=True)
        assert await everything(app, f"state={','.join(wanted)}") == expected
    assert await everything(app, "") == sorted((i for ids in places.values() for i in ids), reverse=True)
    assert set(places) == set(Place)


@pytest.mark.usefixtures("small_windows")
async def test_a_look_that_runs_out_of_patience_says_up_to_where_it_has_looked(app: Holdfast, outsider: Any) -> None:
    await outsider.execute(FILL.replace("$1::integer", "1000"))
    page = await app.jobs.search(JobFilter.parse("state=completed queue=other"), patience_seconds=0.0)
    assert (page.jobs, page.next is None, page.searched_to is None) == ([], False, False)
    assert await everything(app, "state=completed queue=other", patience=0.0) == []
    assert len(await everything(app, "queue=done error=Broken", limit=50, patience=0.0)) == 10


async def test_a_cursor_of_another_search_is_refused(app: Holdfast) -> None:
    await one_in_each_place(app)
    page = await app.jobs.search(JobFilter.parse("state=ready"), limit=1)
    with pytest.raises(FilterInvalid, match="another search"):
        await app.jobs.search(JobFilter.parse("state=failed"), after=page.next)
    for cursor in ("j1; drop table job", "j\u00b2", "j" + "9" * 30):
        with pytest.raises(FilterInvalid, match="another search"):
            await app.jobs.search(JobFilter.parse(""), after=cursor)
    assert (await app.jobs.search(JobFilter.parse("state=failed"), after="j" + "9" * 19)).jobs


async def test_ready_jobs_of_many_queues_and_priorities_come_in_the_order_they_became_ready(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    made = [await work.options(queue=f"q{n % 5}", priority=n % 3).enqueue() for n in range(40)]
    assert await everything(app, "state=ready", limit=7) == made[::-1]
    assert await everything(app, "state=ready queue=q1,q2 priority>0", limit=2) == [
        job for n, job in reversed(list(enumerate(made))) if n % 5 in (1, 2) and n % 3 > 0
    ]


async def test_a_job_is_found_by_its_id_without_looking_at_others(app: Holdfast, outsider: Any) -> None:
    await outsider.execute(FILL.replace("$1::integer", "30000"))
    oldest = await outsider.fetchval("SELECT min(id) FROM holdfast.job")
    page = await app.jobs.search(JobFilter.parse(f"id={oldest}"), patience_seconds=0.0)
    assert [match.id for match in page.jobs] == [oldest]
    with pytest.raises(FilterInvalid, match="'x' is no id"):
        JobFilter.parse("id=x")


PAGES = ("", "state=completed", "state=failed", "state=ready", "state=scheduled")
FRUITLESS = (
    "state=completed queue=nobody",
    "state=failed,cancelled task=nobody",
    "queue=nobody",
    "state=completed error=Nobody",
)
# Rows that a look may read of tables of 60,000 each. Who looks in vain looks through a whole window: fewer than that,
# and nothing was measured.
COSTS = {**dict.fromkeys(PAGES, range(1_000)), **dict.fromkeys(FRUITLESS, range(1_000, 20_000))}


async def test_a_page_reads_a_window_and_not_the_tables(database_url: str, app: Holdfast, outsider: Any) -> None:
    await outsider.execute(FILL.replace("$1::integer", "60000"))
    await outsider.execute("VACUUM ANALYZE holdfast.job, holdfast.outcome")
    await app.close()
    await alone(outsider)
    read = dict[str, int]()
    for text in COSTS:
        before = await fetched(outsider)
        async with Holdfast(database_url) as looking:
            await looking.jobs.search(JobFilter.parse(text), patience_seconds=0.0)
        await alone(outsider)
        read[text] = await fetched(outsider) - before
    assert {text: rows for text, rows in read.items() if rows not in COSTS[text]} == {}


async def alone(outsider: Any) -> None:
    """A session reports what it has read once a second, and for certain when it ends."""

    async def no_other_session() -> bool:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        return bool(await outsider.fetchval(others) == 0)

    await eventually(no_other_session)


async def fetched(outsider: Any) -> int:
    """Rows that all sessions together have read and reported so far."""
    await outsider.execute("SELECT pg_stat_force_next_flush()")
    return int(
        await outsider.fetchval(
            """SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables
               WHERE schemaname = 'holdfast' AND relname ~ '^(job|outcome|ready|scheduled)'"""
        )
    )


async def test_counting_ends_where_it_is_told_to(app: Holdfast, outsider: Any) -> None:
    await outsider.execute(FILL.replace("$1::integer", "3000"))
    groups, is_exact = await app.jobs.preview(JobFilter.parse("queue=done"), count_up_to=10_000)
    counted = {group.state: group.jobs for group in groups}
    assert (counted, is_exact) == ({"completed": 2940, "failed": 30, "cancelled": 30}, True)
    groups, is_exact = await app.jobs.preview(JobFilter.parse("state=completed"), count_up_to=500)
    assert ([group.jobs for group in groups], is_exact) == ([500], False)
    assert {group.state for group in groups} <= set(FINAL)
