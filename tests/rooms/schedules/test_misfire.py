"""What becomes of occurrences that nobody looked at in time. Pure; no server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.schedules import Cron, Misfire, Plan
from holdfast.schedules.misfire import Decision, decide

SEVEN = datetime(2026, 6, 1, 7, tzinfo=UTC)
HOURLY = Cron("0 * * * *")


def hourly(misfire: Misfire, *, late: timedelta, **options: object) -> Decision:
    plan = Plan(task="report", cron="0 * * * *", misfire=misfire, **options)  # type: ignore[arg-type]
    return decide(plan, HOURLY, SEVEN, SEVEN, SEVEN + late)


def runs(decision: Decision) -> list[int]:
    """The hours that run."""
    return [verdict.at.hour for verdict in decision.verdicts if verdict.runs]


def test_in_time_everything_runs_whatever_the_policy() -> None:
    for misfire in get_args(Misfire):
        decision = hourly(misfire, late=timedelta(seconds=59))
        assert runs(decision) == [7]
        assert decision.verdicts[0].detail is None
        assert decision.next_at == SEVEN + timedelta(hours=1)


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [("skip", []), ("once", [11]), ("all", [7, 8, 9, 10, 11])],
)
def test_after_half_a_day_without_workers(misfire: Misfire, expected: list[int]) -> None:
    decision = hourly(misfire, late=timedelta(hours=4, minutes=30))

    assert runs(decision) == expected
    assert [verdict.at.hour for verdict in decision.verdicts] == [7, 8, 9, 10, 11]
    assert decision.next_at == SEVEN + timedelta(hours=5)
    assert all((verdict.detail or "").startswith("late by ") for verdict in decision.verdicts)


@pytest.mark.parametrize(("misfire", "expected"), [("skip", [11]), ("once", [11]), ("all", [7, 8, 9, 10, 11])])
def test_an_occurrence_in_time_stands_for_those_that_were_missed(misfire: Misfire, expected: list[int]) -> None:
    decision = hourly(misfire, late=timedelta(hours=4, seconds=5))

    assert runs(decision) == expected
    assert ("the run of 2026-06-01 11:00:00Z stands for it" in str(decision.verdicts[0].detail)) == (misfire != "all")


def test_all_is_the_latest_so_many() -> None:
    assert runs(hourly("all", late=timedelta(hours=4, minutes=30), misfire_limit=2)) == [10, 11]


def test_a_month_of_seconds_is_said_in_a_thousand_rows() -> None:
    plan = Plan(task="tick", cron="* * * * * *")

    decision = decide(plan, Cron("* * * * * *"), SEVEN, SEVEN, SEVEN + timedelta(days=30))

    assert len(decision.verdicts) == 1001
    assert not decision.verdicts[0].runs
    assert "so was every one before 2026-07-01 06:43:21Z" in str(decision.verdicts[0].detail)
    assert decision.verdicts[-1].at == SEVEN + timedelta(days=30)


def test_what_is_owed_from_an_older_timetable_is_decided_about_and_the_new_one_goes_on() -> None:
    """A deploy over seven o'clock that moves the schedule to half past."""
    plan = Plan(task="report", cron="30 * * * *")

    decision = decide(plan, Cron("30 * * * *"), SEVEN, SEVEN, SEVEN + timedelta(minutes=10))

    assert runs(decision) == [7]
    assert decision.next_at == SEVEN + timedelta(minutes=30)


def test_jitter_delays_within_its_bound_and_never_past_the_next_occurrence() -> None:
    plan = Plan(task="report", cron="* * * * *", jitter_seconds=3600)
    for minute in range(50):
        at = SEVEN + timedelta(minutes=minute)
        assert at <= plan.due_at(at, at + timedelta(minutes=1)) <= at + timedelta(minutes=1)
    wide = Plan(task="report", cron="0 7 * * *", jitter_seconds=600)
    spread = {wide.due_at(SEVEN, SEVEN + timedelta(days=1)) - SEVEN for _ in range(50)}
    assert len(spread) > 40
    assert max(spread) <= timedelta(minutes=10)


def test_jitter_does_not_count_as_lateness() -> None:
    plan = Plan(task="report", cron="0 7 * * *", jitter_seconds=3600, misfire="skip")
    due_at = SEVEN + timedelta(minutes=40)

    assert runs(decide(plan, Cron("0 7 * * *"), SEVEN, due_at, due_at + timedelta(seconds=1))) == [7]


@given(
    misfire=st.sampled_from(get_args(Misfire)),
    limit=st.integers(1, 30),
    late=st.integers(0, 100_000),
    step=st.sampled_from(["*/5 * * * *", "0 * * * *", "30 2 * * *"]),
    grace=st.integers(0, 7200),
)
@settings(max_examples=100, deadline=None)
def test_every_occurrence_up_to_now_is_decided_about_once(
    misfire: Misfire, limit: int, late: int, step: str, grace: int
) -> None:
    zone = "Europe/Zurich"
    plan = Plan(task="t", cron=step, timezone=zone, misfire=misfire, misfire_limit=limit, grace_seconds=grace)
    timetable = Cron(step, zone)
    begin = timetable.after(datetime(2026, 10, 24, 20, tzinfo=UTC))
    assert begin is not None
    now = begin + timedelta(seconds=late)

    decision = decide(plan, timetable, begin, begin, now)

    expected, at = [], begin
    while at <= now:
        expected.append(at)
        following = timetable.after(at)
        assert following is not None
        at = following
    ats = [verdict.at for verdict in decision.verdicts]
    assert ats == expected
    assert decision.next_at == at
    late_runs = [v.at for v in decision.verdicts if v.runs and now - v.at > timedelta(seconds=grace)]
    in_time = [v for v in decision.verdicts if now - v.at <= timedelta(seconds=grace)]
    assert all(verdict.runs for verdict in in_time)
    most = {"skip": 0, "once": 0 if in_time else 1, "all": limit}[misfire]
    assert len(late_runs) == min(most, len(ats) - len(in_time))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "cron expression or an interval"),
        ({"cron": "@daily", "every_seconds": 5}, "not both"),
        ({"cron": "@daily", "misfire": "never"}, "misfire='never' is no policy"),
        ({"cron": "@daily", "overlap": "maybe"}, "overlap='maybe' is no policy"),
        ({"cron": "@daily", "jitter_seconds": -1}, "jitter_seconds cannot be -1"),
        ({"cron": "@daily", "jitter_seconds": float("nan")}, "jitter_seconds cannot be nan"),
        ({"cron": "@daily", "grace_seconds": float("inf")}, "grace_seconds cannot be inf"),
        ({"cron": "@daily", "grace_seconds": None}, "grace_seconds cannot be None"),
        ({"cron": "@daily", "misfire_limit": 0}, "between 1 and 10 000"),
        ({"cron": "@daily", "priority": 11}, "priority is a number"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Plan(task="report", **options)  # type: ignore[arg-type]
