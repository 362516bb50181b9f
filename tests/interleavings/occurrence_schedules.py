"""Schedules around due moments: decisions beside decisions, triggers, backfills, and a clock that is set back."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from tests.interleavings.stage import Session, Stage

NAME = "report"


class Due:
    """One schedule, and the decision of a process that read it while it was due."""

    def __init__(self, stage: Stage, at: datetime) -> None:
        self._stage = stage
        self.at = at

    async def fire(self, session: Session) -> list[Any]:
        """What a scheduler asks for: this occurrence runs, the next one is an hour later."""
        following = self.at + timedelta(hours=1)
        return await session.rows("fire_v1", NAME, 1, self.at, [self.at], [True], [None], following, following, None)

    async def jobs(self) -> int:
        return int(await self._stage.watch.fetchval("select count(*) from holdfast.every_job"))

    async def started(self) -> int:
        return int(await self._stage.watch.fetchval("select count(*) from holdfast.occurrence where state = 'started'"))

    async def expect_one_job(self, said: str) -> None:
        jobs, started = await self.jobs(), await self.started()
        self._stage.expect(jobs == 1, f"{said}: {jobs} jobs")
        self._stage.expect(started == jobs, f"{said}: {started} occurrences have one of {jobs} jobs")


async def due_schedule(stage: Stage, *, overlap: str = "allow") -> Due:
    """A schedule that was due a second ago."""
    at: datetime = await stage.watch.fetchval("select holdfast.now() - interval '1 second'")
    plan = {"task": "report", "queue": "q", "args": {}, "overlap": overlap, "every_seconds": 3600}
    await stage.truth.value("declare_schedule_v1", NAME, None, "tests", json.dumps(plan), at, at, at)
    return Due(stage, at)


async def two_decisions_at_once(stage: Stage) -> None:
    """The second one does not wait, and does nothing."""
    due = await due_schedule(stage)
    first, second = await stage.sessions("first", "second")
    await first.begin()
    await due.fire(first)
    fire = await second.start(due.fire(second))
    stage.expect(not fire.waits, "a decision waits for another")
    await fire.result()
    await first.commit()
    await due.expect_one_job("two decisions about one occurrence")


async def decision_after_another(stage: Stage) -> None:
    """Read before, asked after: it comes too late."""
    due = await due_schedule(stage)
    first, second = await stage.sessions("first", "second")
    await due.fire(first)
    fire = await second.start(due.fire(second))
    made = await fire.result()
    stage.expect(made == [], f"a decision from an old reading was taken: {made}")
    await due.expect_one_job("a decision after the occurrence was decided about")


async def decision_that_rolls_back(stage: Stage) -> None:
    """Job, occurrence and advance go together; the next one to decide finds it due."""
    due = await due_schedule(stage)
    first, second = await stage.sessions("first", "second")
    await first.begin()
    await due.fire(first)
    await first.rollback()
    stage.expect(await due.jobs() == 0, "a decision that was rolled back left its job")
    await due.fire(second)
    await due.expect_one_job("a decision after one that was rolled back")


async def decision_in_the_past(stage: Stage) -> None:
    """The clock was set back between reading and deciding: it is not due yet."""
    due = await due_schedule(stage)
    (session,) = await stage.sessions("scheduler")
    await session.connection.execute("set holdfast.clock_offset = '-1 hour'")
    made = await due.fire(session)
    stage.expect(made == [], "an occurrence was started before its time")
    await session.connection.execute("set holdfast.clock_offset = '0'")
    await due.fire(session)
    await due.expect_one_job("a decision after the clock was set back and forth")


async def trigger_beside_a_decision(stage: Stage) -> None:
    """The policy forbids overlap: whoever comes second sees the job of the first, or leaves the schedule alone."""
    due = await due_schedule(stage, overlap="skip")
    operator, scheduler = await stage.sessions("operator", "scheduler")
    await operator.begin()
    await operator.rows("trigger_schedule_v1", NAME, False, None)
    fire = await scheduler.start(due.fire(scheduler))
    stage.expect(not fire.waits, "a decision waits for an operator")
    await fire.result()
    await operator.commit()
    await due.fire(scheduler)
    await due.expect_one_job("a trigger beside a decision")


async def two_backfills_at_once(stage: Stage) -> None:
    """The second one waits, and finds that every moment has its job."""
    due = await due_schedule(stage)
    past = [due.at - timedelta(hours=n) for n in (2, 1)]
    first, second = await stage.sessions("first", "second")
    await first.begin()
    await first.rows("backfill_v1", NAME, past)
    other = await second.start(second.rows("backfill_v1", NAME, past))
    await first.commit()
    made = await other.result()
    stage.expect(made == [], f"a moment was backfilled twice: {made}")
    stage.expect(await due.jobs() == 2, f"{await due.jobs()} jobs for two moments")


async def decision_from_an_older_plan(stage: Stage) -> None:
    """A deploy changed the schedule in between: the decision is made again, by what holds now."""
    due = await due_schedule(stage)
    scheduler, deploy = await stage.sessions("scheduler", "deploy")
    plan = {"task": "report", "queue": "q", "args": {}, "overlap": "skip", "every_seconds": 7200}
    await deploy.value("declare_schedule_v1", NAME, 1, "tests", json.dumps(plan), due.at, due.at, due.at)
    made = await due.fire(scheduler)
    stage.expect(made == [], "a decision from an older plan was taken")
    stage.expect(await due.jobs() == 0, "an older plan enqueued a job")


OCCURRENCE_SCHEDULES = (
    two_decisions_at_once,
    decision_after_another,
    decision_that_rolls_back,
    decision_in_the_past,
    trigger_beside_a_decision,
    two_backfills_at_once,
    decision_from_an_older_plan,
)
