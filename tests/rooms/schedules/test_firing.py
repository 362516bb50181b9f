"""One due row and those who decide about it: each policy, and that an occurrence has one job at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.jobs import declare_tasks
from holdfast.schedules import Declarations, declare_schedules
from holdfast.schedules.scheduler import fire
from holdfast.schedules.stored import SQL
from tests.rooms.schedules.conftest import MoveClock, next_at

Decided = Callable[[str], Awaitable[list[tuple[str, str | None]]]]


@pytest.fixture
def schedule(app: Holdfast) -> Callable[..., Awaitable[Declarations]]:
    """Declare the schedule ``report``."""

    @app.task(queue="reports")
    async def report(occurrence: datetime) -> None: ...

    async def declare(**options: Any) -> Declarations:
        made = Declarations(app.tasks)
        made.add(app.tasks["report"], **({"every": "1h"} | options))
        await declare_tasks(app.database, app.tasks.values())
        await declare_schedules(app.database, made)
        return made

    return declare


async def due(app: Holdfast) -> list[Any]:
    return await app.database.fetch(SQL["due"], ["report"])


async def decide_all(app: Holdfast, fingerprint: str | None = None) -> list[tuple[str, str | None]]:
    """What a scheduler does once."""
    made: list[Any] = []
    for row in await due(app):
        made += await fire(app.database, row, fingerprint)
    return [(row["state"], row["because"]) for row in made]


async def jobs(outsider: Any) -> list[int]:
    return [row["id"] for row in await outsider.fetch("SELECT id FROM holdfast.every_job ORDER BY id")]


async def end(outsider: Any, job_id: int, state: int = 1) -> None:
    """The job has ended, as far as anybody can see."""
    await outsider.execute("DELETE FROM holdfast.ready WHERE job_id = $1", job_id)
    await outsider.execute(
        "INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at) VALUES ($1, 0, $2, 1, now())",
        job_id,
        state,
    )


async def test_nothing_is_due_before_its_time(app: Holdfast, schedule: Any, move_clock: MoveClock) -> None:
    await schedule()
    assert await due(app) == []
    await move_clock("59 minutes")
    assert await due(app) == []
    await move_clock("1 hour")
    assert len(await due(app)) == 1


async def test_a_job_knows_which_moment_it_is_for(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule()
    at = await next_at(outsider, "report")
    await move_clock("1 hour")

    assert await decide_all(app) == [("started", None)]

    [job] = await app.jobs.list()
    assert (job.task, job.queue, job.state) == ("report", "reports", "ready")
    assert datetime.fromisoformat(job.args["occurrence"]) == at
    assert app.tasks["report"].signature.load(f'{{"occurrence": "{job.args["occurrence"]}"}}')["occurrence"] == at
    assert await next_at(outsider, "report") == at + timedelta(hours=1)


async def test_of_many_that_decide_at_once_one_does(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule(overlap="allow")
    for turn in range(1, 4):
        await move_clock(f"{turn} hours")
        rows = await due(app)
        answers = await asyncio.gather(*(fire(app.database, rows[0]) for _ in range(10)))
        assert sum(map(len, answers)) == 1
        assert len(await jobs(outsider)) == turn


async def test_a_decision_from_an_older_plan_is_refused(app: Holdfast, schedule: Any, move_clock: MoveClock) -> None:
    await schedule()
    await move_clock("1 hour")
    [row] = await due(app)
    await schedule(overlap="allow")

    assert await fire(app.database, row) == []
    assert await decide_all(app) == [("started", None)]


async def test_a_decision_about_a_paused_or_withdrawn_schedule_is_refused(
    app: Holdfast, schedule: Any, move_clock: MoveClock
) -> None:
    await schedule()
    await move_clock("1 hour")
    [row] = await due(app)
    await app.schedules.pause("report")
    assert await fire(app.database, row) == []
    assert await due(app) == []
    await app.schedules.resume("report")
    await declare_schedules(app.database, Declarations(app.tasks))
    assert await fire(app.database, row) == []


async def test_a_clock_that_is_set_back_repeats_nothing(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule(overlap="allow")
    await move_clock("1 hour")
    [row] = await due(app)
    assert await decide_all(app) == [("started", None)]
    following = await next_at(outsider, "report")

    for offset in ("0", "30 minutes", "1 hour", "119 minutes"):
        await move_clock(offset)
        assert await decide_all(app) == []
        assert await fire(app.database, row) == []
    assert await next_at(outsider, "report") == following
    await move_clock("2 hours")
    assert await decide_all(app) == [("started", None)]
    assert len(await jobs(outsider)) == 2


async def test_a_decision_that_was_made_before_the_clock_was_set_back_is_refused(
    app: Holdfast, schedule: Any, move_clock: MoveClock
) -> None:
    await schedule()
    await move_clock("1 hour")
    [row] = await due(app)
    await move_clock("10 minutes")

    assert await fire(app.database, row) == []


@pytest.mark.parametrize(("misfire", "count"), [("skip", 0), ("once", 1), ("all", 4)])
async def test_missed_occurrences_follow_the_policy(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any, misfire: str, count: int, decided: Decided
) -> None:
    await schedule(misfire=misfire, overlap="allow")
    await move_clock("4 hours 30 minutes")

    await decide_all(app)

    assert len(await jobs(outsider)) == count
    found = await decided("report")
    assert found == [("skipped", "missed")] * (4 - count) + [("started", None)] * count
    assert await next_at(outsider, "report") > await outsider.fetchval("SELECT holdfast.now()")


async def test_overlap_skip_says_which_job_is_in_the_way(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule(overlap="skip")
    await move_clock("1 hour")
    await decide_all(app)
    [first] = await jobs(outsider)
    await move_clock("2 hours")

    assert await decide_all(app) == [("skipped", "overlap")]
    [skipped, _] = await app.schedules.occurrences("report")
    assert f"job {first} of " in (skipped.detail or "")
    assert await jobs(outsider) == [first]

    await end(outsider, first, state=2)
    await move_clock("3 hours")
    assert await decide_all(app) == [("started", None)]


async def test_overlap_queue_runs_one_after_the_other_in_order(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any, decided: Decided
) -> None:
    await schedule(overlap="queue")
    for turn in range(1, 4):
        await move_clock(f"{turn} hours")
        await decide_all(app)
    assert await decided("report") == [("started", None), ("waiting", None), ("waiting", None)]

    for turn in range(1, 4):
        assert await app.database.fetch(SQL["start_waiting"]) == [] or turn > 1
        running = await jobs(outsider)
        assert len(running) == turn
        await end(outsider, running[-1])
        await asyncio.gather(*(app.database.fetch(SQL["start_waiting"]) for _ in range(5)))
    moments = [(await app.jobs.show(job)).args["occurrence"] for job in await jobs(outsider)]
    assert moments == sorted(moments)
    assert await decided("report") == [("started", None)] * 3


async def test_a_paused_schedule_starts_nothing_that_waits(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule(overlap="queue")
    for turn in (1, 2):
        await move_clock(f"{turn} hours")
        await decide_all(app)
    await end(outsider, (await jobs(outsider))[0])
    await app.schedules.pause("report")
    assert await app.database.fetch(SQL["start_waiting"]) == []
    await app.schedules.resume("report")

    assert len(await app.database.fetch(SQL["start_waiting"])) == 1


async def test_overlap_allow_starts_whatever_runs(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule(overlap="allow")
    for turn in range(1, 4):
        await move_clock(f"{turn} hours")
        await decide_all(app)

    assert len(await jobs(outsider)) == 3


async def test_an_unchanged_source_is_skipped_until_it_changes_or_its_job_failed(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule(probe=lambda: "unused here")
    expected = [
        ("v1", 1, ("started", None)),
        ("v1", None, ("skipped", "unchanged")),
        ("v2", 2, ("started", None)),
        ("v2", 3, ("started", None)),  # the job that saw it failed
        ("v2", 1, ("started", None)),  # and was cancelled
        ("v2", None, ("skipped", "unchanged")),
        (None, 1, ("started", None)),  # the source cannot say
        ("v2", None, ("skipped", "unchanged")),
    ]
    for turn, (fingerprint, ending, answer) in enumerate(expected, 1):
        await move_clock(f"{turn} hours")
        assert await decide_all(app, fingerprint) == [answer], turn
        if ending is not None:
            await end(outsider, (await jobs(outsider))[-1], ending)


async def test_an_unchanged_source_is_skipped_while_its_job_runs(
    app: Holdfast, schedule: Any, move_clock: MoveClock
) -> None:
    await schedule(probe=lambda: "unused here", overlap="allow")
    answers = []
    for turn in (1, 2):
        await move_clock(f"{turn} hours")
        answers += await decide_all(app, "v1")

    assert answers == [("started", None), ("skipped", "unchanged")]


async def test_only_one_process_asks_the_source(app: Holdfast, schedule: Any, move_clock: MoveClock) -> None:
    await schedule(probe=lambda: "unused here")
    await move_clock("1 hour")
    [row] = await due(app)
    reading = ("report", row["version"], row["next_at"], 60.0)
    takes = (app.database.fetchval(SQL["take_probe"], *reading, False) for _ in range(8))

    assert sum(await asyncio.gather(*takes)) == 1
    assert await app.database.fetchval(SQL["take_probe"], *reading, True)  # it goes on asking
    assert await due(app) == []
    await move_clock("1 hour 2 minutes")  # whoever asked has died
    assert len(await due(app)) == 1


async def test_a_schedule_with_a_probe_is_left_to_those_who_have_it(
    app: Holdfast, schedule: Any, move_clock: MoveClock
) -> None:
    await schedule(probe=lambda: "unused here")
    await move_clock("1 hour")

    assert await app.database.fetch(SQL["due"], []) == []


async def test_a_worker_waits_for_no_lock_on_a_schedule(
    app: Holdfast, schedule: Any, move_clock: MoveClock, database_url: str
) -> None:
    await schedule()
    await move_clock("1 hour")
    [row] = await due(app)
    other = await asyncpg.connect(database_url)
    try:
        async with other.transaction():
            await other.execute("SELECT FROM holdfast.schedule FOR UPDATE")
            async with asyncio.timeout(5):
                assert await fire(app.database, row) == []
                assert await app.database.fetch(SQL["start_waiting"]) == []
    finally:
        await other.close()
    assert await decide_all(app) == [("started", None)]


async def test_a_decision_that_fails_half_way_leaves_nothing_behind(
    app: Holdfast, schedule: Any, move_clock: MoveClock, outsider: Any
) -> None:
    await schedule(misfire="all", overlap="allow")
    await move_clock("3 hours 30 minutes")
    [row] = await due(app)
    third = row["next_at"] + timedelta(hours=2)
    await outsider.execute(f"ALTER TABLE holdfast.occurrence ADD CONSTRAINT no_third CHECK (at < '{third}')")
    with pytest.raises(asyncpg.CheckViolationError):
        await fire(app.database, row)

    assert await jobs(outsider) == []
    assert await next_at(outsider, "report") == row["next_at"]
    await outsider.execute("ALTER TABLE holdfast.occurrence DROP CONSTRAINT no_third")
    await decide_all(app)
    assert len(await jobs(outsider)) == 3


async def test_old_occurrences_are_forgotten_but_the_last_with_a_job(
    app: Holdfast, schedule: Any, move_clock: MoveClock, decided: Decided
) -> None:
    await schedule(overlap="skip")
    for turn in range(1, 4):
        await move_clock(f"{turn} hours")
        await decide_all(app)
    assert await app.database.fetchval(SQL["forget"], 30) == 0
    await move_clock("40 days")
    # The first one had the last job, and what came after it stays.
    assert await app.database.fetchval(SQL["forget"], 30) == 0
    assert len(await decided("report")) == 3


async def test_one_schedule_whose_waiting_occurrence_cannot_start_holds_up_no_other(
    app: Holdfast, move_clock: MoveClock, outsider: Any, decided: Decided
) -> None:
    @app.task
    async def withdrawn() -> None: ...

    @app.task
    async def well() -> None: ...

    made = Declarations(app.tasks)
    for task in (withdrawn, well):
        made.add(task, every="1h", overlap="queue")
    await declare_tasks(app.database, app.tasks.values())
    await declare_schedules(app.database, made)
    for turn in (1, 2):
        await move_clock(f"{turn} hours")
        await decide_all(app)
    for job in await jobs(outsider):
        await end(outsider, job)
    await outsider.execute("DELETE FROM holdfast.task WHERE name = 'withdrawn'")

    started = await app.database.fetch(SQL["start_waiting"])

    assert [row["schedule"] for row in started] == ["well"]
    assert await decided("withdrawn") == [("started", None), ("waiting", None)]
