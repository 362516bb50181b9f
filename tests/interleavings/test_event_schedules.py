"""The order of the log and its conditions, schedule by schedule; broken logs must be found out."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.interleavings.broken_logs import CAUGHT_BY
from tests.interleavings.event_schedules import CONDITION_SCHEDULES, EVENT_SCHEDULES
from tests.interleavings.stage import Mutation, Schedule, Stage


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with Stage(database_url) as stage:
        yield stage


@pytest.mark.parametrize("schedule", [*EVENT_SCHEDULES, *CONDITION_SCHEDULES], ids=lambda schedule: schedule.__name__)
async def test_nothing_is_skipped_or_out_of_order(stage: Stage, schedule: Schedule) -> None:
    await schedule(stage)

    assert stage.troubles == []


@pytest.mark.parametrize(("broken", "schedule"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", str(value)))
async def test_a_broken_log_is_caught(stage: Stage, broken: Mutation, schedule: Schedule) -> None:
    await stage.install(broken)

    await schedule(stage)

    assert stage.troubles
