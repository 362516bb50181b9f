"""When a schedule is due: expressions, words, and what becomes of daylight saving in several zones. No server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.errors import ConfigurationError
from holdfast.schedules import Cron, Every, occurrences
from holdfast.schedules.timetable import latest

START = datetime(2026, 1, 1, tzinfo=UTC)


def local(text: str, zone: str) -> datetime:
    """``2026-03-29 01:59`` on the wall of a zone, the first time it shows that."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def shown(expression: str, zone: str, since: str, count: int) -> list[str]:
    found = islice(occurrences(Cron(expression, zone), local(since, zone)), count)
    return [at.astimezone(ZoneInfo(zone)).strftime("%d %H:%M%z") for at in found]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 7 * * mon-fri", "At 07:00 on Monday through Friday, UTC"),
        ("*/15 * * * *", "Every 15th minute of every hour, UTC"),
        ("10 0 7 * * *", "At 07:00:10 every day, UTC"),
        ("@daily", "At 00:00 every day, UTC"),
        ("0 0 L * *", "At 00:00 on the last day of every month, UTC"),
    ],
)
def test_a_timetable_is_said_in_words(expression: str, words: str) -> None:
    assert Cron(expression).words == words


def test_an_interval_is_said_in_words_and_counts_from_its_anchor() -> None:
    every = Every(5400, START)

    assert every.words == "Every 1 h 30 min"
    assert every.after(START - timedelta(days=3)) == START + timedelta(minutes=90)
    assert every.after(START + timedelta(minutes=90)) == START + timedelta(hours=3)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("hello", "no cron expression"),
        ("61 * * * *", "bad minute"),
        ("* * * *", "wrong number of fields"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("0 0 * * mon-", "bad day-of-week"),
        ("", "wrong number of fields"),
    ],
)
def test_what_is_no_expression_is_refused_with_a_remedy(expression: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        Cron(expression)
    assert "mon-fri" in (caught.value.remedy or "")


@pytest.mark.parametrize("zone", ["Europe/Zürich", "Mars/Olympus", "", "../etc/passwd"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ConfigurationError, match="no time zone"):
        Cron("0 7 * * *", zone)


def test_an_interval_shorter_than_a_second_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1 s"):
        Every(0.5, START)


# What a clock that is set forward or back does to a fixed time of day: (zone, expression, before, what is shown).
CHANGES = [
    # Zurich skips 02:00 to 03:00 on 29 March 2026, and shows 02:00 to 03:00 twice on 25 October.
    ("Europe/Zurich", "30 2 * * *", "2026-03-28 12:00", ["29 03:00+0200", "30 02:30+0200"]),
    ("Europe/Zurich", "30 2 * * *", "2026-10-24 12:00", ["25 02:30+0200", "26 02:30+0100"]),
    ("Europe/Zurich", "0,30 2,3 * * *", "2026-03-28 12:00", ["29 03:00+0200", "29 03:30+0200", "30 02:00+0200"]),
    ("Europe/Zurich", "0 30 2 * * *", "2026-10-24 12:00", ["25 02:30+0200", "26 02:30+0100"]),
    ("Europe/Zurich", "0 30 2 * * *", "2026-03-28 12:00", ["29 03:00+0200", "30 02:30+0200"]),
    # Elapsed time goes on: both of the doubled hours, and nothing in the hour that does not exist.
    (
        "Europe/Zurich",
        "*/30 * * * *",
        "2026-10-25 01:30",
        ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100", "25 02:30+0100", "25 03:00+0100"],
    ),
    ("Europe/Zurich", "*/30 * * * *", "2026-03-29 01:00", ["29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]),
    # New York, three weeks earlier; Lord Howe by half an hour; Santiago and Beirut at midnight; Kathmandu never.
    ("America/New_York", "15 2 * * *", "2026-03-07 12:00", ["08 03:00-0400", "09 02:15-0400"]),
    ("America/New_York", "15 1 * * *", "2026-10-31 12:00", ["01 01:15-0400", "02 01:15-0500"]),
    ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03 12:00", ["04 02:30+1100", "05 02:15+1100"]),
    ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04 12:00", ["05 01:45+1100", "06 01:45+1030"]),
    ("Asia/Beirut", "0 0 * * *", "2026-03-28 12:00", ["29 01:00+0300", "30 00:00+0300"]),
    ("America/Santiago", "0 0 * * *", "2026-09-05 12:00", ["06 01:00-0300", "07 00:00-0300"]),
    ("Asia/Kathmandu", "30 2 * * *", "2026-03-28 12:00", ["29 02:30+0545", "30 02:30+0545"]),
    # A zone that left out a whole day: Apia had no 30 December 2011.
    ("Pacific/Apia", "0 7 * * *", "2011-12-29 06:00", ["29 07:00-1000", "31 00:00+1400", "31 07:00+1400"]),
]


@pytest.mark.parametrize(("zone", "expression", "since", "expected"), CHANGES)
def test_daylight_saving(zone: str, expression: str, since: str, expected: list[str]) -> None:
    assert shown(expression, zone, since, len(expected)) == expected


def test_in_the_second_of_two_doubled_hours_what_has_been_is_not_due_again() -> None:
    zone = ZoneInfo("Europe/Zurich")
    second = datetime(2026, 10, 25, 2, 15, tzinfo=zone, fold=1)

    at = Cron("30 2 * * *", "Europe/Zurich").after(second)

    assert at is not None
    assert at.astimezone(zone).date() == datetime(2026, 10, 26, tzinfo=zone).date()


def minutes_between(start: datetime, hours: int) -> Iterator[datetime]:
    for minute in range(hours * 60):
        yield start + timedelta(minutes=minute)


ZONES = ("Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/St_Johns", "UTC")
STARTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31)).map(  # noqa: DTZ001 - made aware below
    lambda at: at.replace(second=0, microsecond=0, tzinfo=UTC)
)
MINUTES = st.integers(0, 59)
HOURS = st.integers(0, 23)
CHANGE_DAYS = st.sampled_from(
    [datetime(2026, *day, 20, tzinfo=UTC) for day in ((3, 28), (10, 24), (3, 7), (10, 31), (10, 3), (4, 4))]
)


@given(zone=st.sampled_from(ZONES), minute=MINUTES, hour=HOURS, start=STARTS | CHANGE_DAYS)
@example(zone="Europe/Zurich", minute=30, hour=2, start=datetime(2026, 3, 28, 20, tzinfo=UTC))
@settings(max_examples=150, deadline=None)
def test_a_time_of_day_happens_once_a_day_in_every_zone(zone: str, minute: int, hour: int, start: datetime) -> None:
    """Against a clock that is watched minute by minute."""
    place = ZoneInfo(zone)
    cron = Cron(f"{minute} {hour} * * *", zone)
    found = [
        at for at in islice(occurrences(cron, start - timedelta(minutes=1)), 2) if at < start + timedelta(hours=30)
    ]

    seen: dict[object, datetime] = {}
    for at in minutes_between(start - timedelta(hours=3), 33):
        wall = at.astimezone(place)
        if (wall.hour, wall.minute) == (hour, minute):
            seen.setdefault(wall.date(), at)
        elif (wall.hour, wall.minute) > (hour, minute) and wall.date() not in seen:
            before = (at - timedelta(minutes=1)).astimezone(place).replace(tzinfo=None)
            if wall.replace(tzinfo=None) - before > timedelta(minutes=1):
                seen[wall.date()] = at  # it fell into a gap that has just ended
    expected = sorted(at for at in seen.values() if start <= at)

    assert found == expected[: len(found)]
    assert len(found) >= len(expected[:2])


@given(zone=st.sampled_from(ZONES), step=st.sampled_from([5, 7, 15, 20, 30]), start=STARTS | CHANGE_DAYS)
@settings(max_examples=60, deadline=None)
def test_elapsed_time_follows_the_wall_minute_by_minute(zone: str, step: int, start: datetime) -> None:
    place = ZoneInfo(zone)
    expected = [at for at in minutes_between(start, 12) if at.astimezone(place).minute % step == 0]

    found = list(islice(occurrences(Cron(f"*/{step} * * * *", zone), start - timedelta(minutes=1)), len(expected)))

    assert found == expected


@given(st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    try:
        at = Cron(text).after(START)
    except ConfigurationError:
        return
    assert at is not None
    assert at > START


def test_a_second_by_second_schedule_that_slept_for_two_months_costs_no_two_months() -> None:
    steps = 0

    class Counted(Cron):
        def after(self, moment: datetime) -> datetime | None:
            nonlocal steps
            steps += 1
            return super().after(moment)

    found, more = latest(Counted("* * * * * *"), START, START + timedelta(days=60), 1000)

    assert more
    assert found[-1] == START + timedelta(days=60)
    assert found[0] == found[-1] - timedelta(seconds=999)
    assert steps < 5000


def test_the_latest_occurrences_are_those_of_a_rare_schedule_too() -> None:
    found, more = latest(Cron("0 0 1 1 *"), START, datetime(2030, 6, 1, tzinfo=UTC), 1000)

    assert (len(found), more) == (4, False)
