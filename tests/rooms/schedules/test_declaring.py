"""The code's schedules and the database's: new, changed, edited over, withdrawn; by many processes at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.errors import ConfigurationError
from holdfast.schedules import Declarations, declare_schedules
from tests.rooms.schedules.conftest import MoveClock, next_at


def declarations(app: Holdfast, *crons: str, gone: bool = False, **options: Any) -> Declarations:
    """What a deploy of the same module says: one schedule ``report``, or none when it is gone."""
    if "report" not in app.tasks:

        @app.task
        async def report() -> None: ...

    made = Declarations(app.tasks)
    if not gone:
        made.add(app.tasks["report"], *crons, **options)
    return made


async def deploy(app: Holdfast, *crons: str, gone: bool = False, **options: Any) -> None:
    await declare_schedules(app.database, declarations(app, *crons, gone=gone, **options))


async def test_a_new_schedule_is_due_at_its_first_occurrence(app: Holdfast, outsider: Any) -> None:
    await deploy(app, "0 7 * * *", timezone="Europe/Zurich")

    at = await next_at(outsider, "report")
    assert datetime.now(UTC) < at <= datetime.now(UTC) + timedelta(days=1, hours=1)
    info = await app.schedules.show("report")
    assert (info.state, info.next_at, info.words) == ("active", at, "At 07:00 every day, Europe/Zurich")


async def test_declaring_again_changes_nothing_and_any_number_may_do_it_at_once(app: Holdfast, outsider: Any) -> None:
    await asyncio.gather(*(deploy(app, "0 7 * * *", jitter_seconds=600.0) for _ in range(8)))
    before = await outsider.fetchrow("SELECT * FROM holdfast.schedule")
    await asyncio.gather(*(deploy(app, "0 7 * * *", jitter_seconds=600.0) for _ in range(8)))

    assert before["version"] == 1
    assert await outsider.fetchrow("SELECT * FROM holdfast.schedule") == before


async def test_a_changed_timetable_holds_from_now_on(app: Holdfast, outsider: Any) -> None:
    await deploy(app, "0 7 1 1 *")
    await deploy(app, "*/5 * * * *")

    assert await next_at(outsider, "report") <= datetime.now(UTC) + timedelta(minutes=6)


async def test_a_change_of_anything_else_leaves_the_next_occurrence_alone(app: Holdfast, outsider: Any) -> None:
    await deploy(app, every="1h")
    before = await next_at(outsider, "report")
    await deploy(app, every="1h", overlap="queue", misfire="all")

    assert await next_at(outsider, "report") == before
    assert (await app.schedules.show("report")).plan.overlap == "queue"


async def test_what_was_due_before_a_deploy_is_still_owed_after_it(
    app: Holdfast, outsider: Any, move_clock: MoveClock
) -> None:
    await deploy(app, every="1h")
    owed = await next_at(outsider, "report")
    await move_clock("90 minutes")
    await deploy(app, "0 7 1 1 *")

    assert await next_at(outsider, "report") == owed


async def test_a_schedule_that_left_the_code_is_withdrawn_and_comes_back_from_then_on(
    app: Holdfast, outsider: Any, move_clock: MoveClock
) -> None:
    await deploy(app, every="1h")
    await deploy(app, gone=True)
    assert (await app.schedules.show("report")).state == "withdrawn"
    assert await app.schedules.next("report") == []

    await move_clock("5 hours")
    await deploy(app, every="1h")

    assert (await app.schedules.show("report")).state == "active"
    now = await outsider.fetchval("SELECT holdfast.now()")
    assert now < await next_at(outsider, "report") <= now + timedelta(hours=1)


async def test_schedules_of_other_modules_are_none_of_our_business(app: Holdfast, outsider: Any) -> None:
    await deploy(app, "0 7 * * *")
    await outsider.execute("UPDATE holdfast.schedule SET source = 'other.program'")
    await deploy(app, gone=True)

    assert (await app.schedules.show("report")).state == "active"


async def test_edits_stay_over_a_deploy_until_they_are_taken_back(app: Holdfast) -> None:
    await deploy(app, "0 7 * * *")
    await app.schedules.edit("report", cron="0 8 * * *", overlap="allow")
    await deploy(app, "0 9 * * *", misfire="skip")

    info = await app.schedules.show("report")
    assert (info.plan.cron, info.plan.overlap, info.plan.misfire) == ("0 8 * * *", "allow", "skip")
    assert info.edited == {"cron": "0 8 * * *", "every_seconds": None, "overlap": "allow"}
    assert info.next_at is not None
    assert info.next_at.hour == 8

    info = await app.schedules.reset("report")
    assert (info.plan.cron, info.edited) == ("0 9 * * *", {})
    assert info.next_at is not None
    assert info.next_at.hour == 9


async def test_a_cron_may_be_edited_into_an_interval(app: Holdfast) -> None:
    await deploy(app, "0 7 1 1 *")

    info = await app.schedules.edit("report", every_seconds=600)

    assert (info.words, info.plan.cron) == ("Every 10 min", None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task": "other"}, "'task' of a schedule cannot be edited"),
        ({"cron": "nonsense"}, "no cron expression"),
        ({"timezone": "Nowhere"}, "no time zone"),
        ({"overlap": "maybe"}, "no policy"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_and_nothing_changes(
    app: Holdfast, changes: dict[str, Any], told: str
) -> None:
    await deploy(app, "0 7 * * *")
    before = await app.schedules.show("report")
    with pytest.raises(ConfigurationError, match=told):
        await app.schedules.edit("report", **changes)
    assert await app.schedules.show("report") == before


def test_a_declaration_that_cannot_be_names_its_schedule() -> None:
    app = Holdfast("postgresql://nowhere")

    @app.task
    async def report(month: str) -> None: ...

    made = Declarations(app.tasks)
    with pytest.raises(ConfigurationError, match="schedule 'report': 'soon' is no cron expression"):
        made.add(app.tasks["report"], "soon", args={"month": "x"})
    with pytest.raises(ConfigurationError, match="month: is missing"):
        made.add(app.tasks["report"], "@daily")
    with pytest.raises(ConfigurationError, match="misfire='later' is no policy"):
        made.add(app.tasks["report"], "@daily", args={"month": "x"}, misfire="later")  # type: ignore[arg-type]
    made.add(app.tasks["report"], "@daily", args={"month": "x"})
    with pytest.raises(ConfigurationError, match="two schedules named 'report'"):
        made.add(app.tasks["report"], "@daily", args={"month": "x"})


def test_the_decorator_takes_functions_and_tasks() -> None:
    app = Holdfast("postgresql://nowhere")

    @app.schedule("0 7 * * mon-fri", timezone="Europe/Zurich", overlap="skip", task_options={"queue": "reports"})
    async def morning_report() -> None: ...

    @app.schedule(every="1h", name="hourly", args={"size": 1})
    @app.schedule("@daily", name="daily", args={"size": 9})
    @app.task(queue="files")
    def clean(size: int, occurrence: datetime) -> int:
        return size

    assert app.tasks["morning_report"].queue == "reports"
    assert (clean.name, clean.queue) == ("clean", "files")
    assert set(app._declarations.schedules) == {"morning_report", "hourly", "daily"}
    plan = app._declarations.schedules["hourly"].plan
    assert (plan.args, plan.occurrence_argument, plan.every_seconds) == ({"size": 1}, "occurrence", 3600.0)
