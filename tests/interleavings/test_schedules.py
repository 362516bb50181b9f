"""Two sessions and an order: every schedule finds nothing in this build, and something in the build it is there for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.interleavings.batch_schedules import BATCH_SCHEDULES
from tests.interleavings.broken_builds import CAUGHT_BY
from tests.interleavings.broken_gates import CAUGHT_AT_THE_GATES
from tests.interleavings.gate_schedules import GATE_SCHEDULES
from tests.interleavings.lease_schedules import LEASE_SCHEDULES
from tests.interleavings.occurrence_schedules import OCCURRENCE_SCHEDULES
from tests.interleavings.queue_schedules import QUEUE_SCHEDULES
from tests.interleavings.report_schedules import REPORT_SCHEDULES
from tests.interleavings.stage import Mutation, Schedule, Stage
from tests.interleavings.straight_schedules import STRAIGHT_SCHEDULES
from tests.interleavings.verb_schedules import VERB_SCHEDULES


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    async with Stage(database_url) as stage:
        yield stage


@pytest.mark.parametrize(
    "schedule",
    [
        *LEASE_SCHEDULES,
        *QUEUE_SCHEDULES,
        *VERB_SCHEDULES,
        *GATE_SCHEDULES,
        *STRAIGHT_SCHEDULES,
        *BATCH_SCHEDULES,
        *REPORT_SCHEDULES,
        *OCCURRENCE_SCHEDULES,
    ],
    ids=lambda schedule: schedule.__name__,
)
async def test_nothing_is_lost_doubled_or_held_up(stage: Stage, schedule: Schedule) -> None:
    await schedule(stage)

    assert stage.troubles == []


@pytest.mark.parametrize(
    ("broken", "schedule"), [*CAUGHT_BY, *CAUGHT_AT_THE_GATES], ids=lambda value: getattr(value, "__name__", str(value))
)
async def test_a_broken_build_is_caught(stage: Stage, broken: Mutation, schedule: Schedule) -> None:
    await stage.install(broken)

    await schedule(stage)

    assert stage.troubles
