"""Schedules under any order of time, decisions, endings, pauses and changes: no moment lost, none started twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from holdfast.db import Database
from holdfast.schedules import Cron, Misfire, Overlap, Plan, Schedules
from holdfast.schedules.scheduler import fire
from holdfast.schedules.stored import SQL, as_json

NAME = "report"
CRON = Cron("*/10 * * * *")
_TABLES = ("occurrence", "schedule", "outcome", "ready", "job")


class Server:
    """A database that the examples share, with one connection in each pool, and the loop it lives on."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self.database = Database(url, control_size=1, user_size=1)
        self.run(self.database.open())
        self.schedules = Schedules(self.database)
        self.begun_at = datetime.now(tz=UTC)

    def run(self, call: Any) -> Any:
        return self._runner.run(call)

    def sql(self, text: str, *params: Any) -> list[Any]:
        async def ask() -> list[Any]:
            async with self.database.connection("control") as connection:
                return list(await connection.fetch(text, *params))

        rows: list[Any] = self.run(ask())
        return rows

    def move_clock(self, seconds: float) -> None:
        """For every session from now on, and for the two that exist."""
        name = self.sql("select current_database()")[0][0]
        self.sql(f"alter database {name} set holdfast.clock_offset = '{seconds} seconds'")

        async def anew() -> None:
            for pool in (self.database.control, self.database.user):
                await pool.expire_connections()

        self.run(anew())

    def close(self) -> None:
        self.run(self.database.close())
        self._runner.close()


class ScheduleMachine(RuleBasedStateMachine):
    """One schedule, two schedulers that may decide from old readings, people, and a clock that jumps both ways."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.offset = 0.0
        self.readings: list[Mapping[str, Any]] = []
        self.first: datetime | None = None
        self.overlap: Overlap = "skip"
        self.resumed = False

    @initialize(misfire=st.sampled_from(["skip", "once", "all"]), overlap=st.sampled_from(["skip", "queue", "allow"]))
    def begin(self, misfire: Misfire, overlap: Overlap) -> None:
        server = self.server
        server.move_clock(0)
        for table in _TABLES:
            server.sql(f"delete from holdfast.{table}")
        now = server.sql("select holdfast.now()")[0][0]
        self.first, self.overlap = CRON.after(now), overlap
        assert self.first is not None
        plan = Plan(task="report", queue="q", cron=CRON.expression, misfire=misfire, overlap=overlap)
        server.sql(
            "select holdfast.declare_schedule_v1($1, null, 'tests', $2::text::jsonb, $3, $4, $4)",
            *(NAME, as_json(plan.as_row()), now, self.first),
        )

    @rule(minutes=st.integers(1, 45))
    def time_passes(self, minutes: int) -> None:
        self.offset += minutes * 60
        self.server.move_clock(self.offset)

    @precondition(lambda self: self.offset > 0)
    @rule(minutes=st.integers(1, 60))
    def the_clock_is_set_back(self, minutes: int) -> None:
        self.offset = max(0.0, self.offset - minutes * 60)
        self.server.move_clock(self.offset)

    @rule()
    def a_scheduler_reads(self) -> None:
        self.readings += self.server.run(self.server.database.fetch(SQL["due"], []))

    @precondition(lambda self: self.readings)
    @rule(which=st.integers(0, 1000))
    def a_scheduler_decides(self, which: int) -> None:
        """From any reading, however old; the same one may be decided from again."""
        reading = self.readings[which % len(self.readings)]
        self.server.run(fire(self.server.database, reading))

    @rule()
    def what_waits_is_started(self) -> None:
        self.server.run(self.server.database.fetch(SQL["start_waiting"]))

    @rule(state=st.sampled_from([1, 2, 3]))
    def the_oldest_job_ends(self, state: int) -> None:
        self.server.sql(
            "with gone as (delete from holdfast.ready"
            " where job_id = (select min(job_id) from holdfast.ready) returning job_id)"
            " insert into holdfast.outcome (job_id, lease, state, attempt, finished_at)"
            " select job_id, 0, $1, 1, now() from gone",
            state,
        )

    @rule()
    def somebody_pauses(self) -> None:
        self.server.run(self.server.schedules.pause(NAME))

    @rule()
    def somebody_resumes(self) -> None:
        self.server.run(self.server.schedules.resume(NAME))

    @rule(seconds=st.integers(0, 100))
    def somebody_edits_what_is_not_the_timetable(self, seconds: int) -> None:
        self.server.run(self.server.schedules.edit(NAME, jitter_seconds=float(seconds)))

    @rule()
    def somebody_triggers(self) -> None:
        self.server.run(self.server.schedules.trigger(NAME))

    @invariant()
    def every_moment_before_the_next_is_decided_about_once(self) -> None:
        if self.first is None:
            return
        [row] = self.server.sql("select next_at from holdfast.schedule")
        rows = self.server.sql("select at from holdfast.occurrence where origin = 'due' order by at")
        expected, at = [], self.first
        while at < row["next_at"]:
            expected.append(at)
            at = CRON.after(at) or row["next_at"]
        assert [row["at"] for row in rows] == expected

    @invariant()
    def every_job_has_its_moment_and_every_started_moment_its_job(self) -> None:
        jobs = {row["id"] for row in self.server.sql("select id from holdfast.every_job")}
        started = [
            row["job_id"] for row in self.server.sql("select job_id from holdfast.occurrence where job_id is not null")
        ]
        assert sorted(started) == sorted(jobs)

    @invariant()
    def jobs_overlap_only_where_that_is_allowed(self) -> None:
        unfinished = self.server.sql("select count(*) from holdfast.ready")[0][0]
        assert self.overlap == "allow" or unfinished <= 1

    @invariant()
    def only_a_queueing_schedule_has_occurrences_that_wait(self) -> None:
        waiting = self.server.sql("select count(*) from holdfast.occurrence where state = 'waiting'")[0][0]
        assert self.overlap == "queue" or waiting == 0


@pytest.fixture
def schedule_server(database_url: str) -> Iterator[Server]:
    server = Server(database_url)
    yield server
    server.move_clock(0)
    server.close()


SOAK = "HOLDFAST_TEST_SOAK_SECONDS" in os.environ


@pytest.mark.timeout(3600 if SOAK else 200)
def test_no_moment_is_lost_and_none_is_started_twice(schedule_server: Server) -> None:
    examples = max(300, settings().max_examples) if SOAK else 25
    run_state_machine_as_test(
        partial(ScheduleMachine, schedule_server),  # type: ignore[arg-type]
        settings=settings(stateful_step_count=25, max_examples=examples, deadline=timedelta(seconds=60)),
    )
