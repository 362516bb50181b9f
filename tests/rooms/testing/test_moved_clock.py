"""The moved clock: this process and every session of the database at once, and what is due is due."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from holdfast import Holdfast, clock
from holdfast.errors import ConfigurationError
from holdfast.testing import MovedClock, all_enqueued, assert_enqueued, drain_sync


@pytest.fixture
def session(holdfast_database_url: str) -> Iterator[psycopg.Connection]:
    """A session that was there before the clock moved, with its plans made."""
    with psycopg.connect(holdfast_database_url, autocommit=True, prepare_threshold=0) as connection:
        database_now(connection)
        yield connection


def database_now(session: psycopg.Connection) -> datetime:
    row = session.execute("select holdfast.now()").fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


def test_both_clocks_move_together_for_sessions_old_and_new(
    session: psycopg.Connection, holdfast_database_url: str, holdfast_clock: MovedClock
) -> None:
    before, ticks = datetime.now(UTC), clock.monotonic()
    assert holdfast_clock.move("2h") == pytest.approx(before + timedelta(hours=2), abs=timedelta(minutes=1))
    holdfast_clock.move(timedelta(days=1))
    expected = before + timedelta(days=1, hours=2)
    with psycopg.connect(holdfast_database_url) as fresh:
        for moment in (clock.now(), holdfast_clock.now, database_now(session), database_now(fresh)):
            assert timedelta(0) <= moment - expected < timedelta(minutes=1)
    assert 26 * 3600 <= clock.monotonic() - ticks < 26 * 3600 + 60
    # The offset of a session comes on top, as before.
    session.execute("set holdfast.clock_offset = '1 hour'")
    assert database_now(session) - clock.now() > timedelta(minutes=59)


def test_it_goes_forward_only_and_to_a_moment_with_a_zone(holdfast_clock: MovedClock) -> None:
    there = datetime.now(UTC) + timedelta(days=30)
    assert holdfast_clock.move_to(there) - there < timedelta(minutes=1)
    with pytest.raises(ConfigurationError, match="duration"):
        holdfast_clock.move_to(there - timedelta(days=1))
    with pytest.raises(ConfigurationError, match="zone"):
        holdfast_clock.move_to(datetime(2040, 1, 1))  # noqa: DTZ001 - the mistake itself


def test_afterwards_this_process_is_in_the_present(holdfast_database_url: str) -> None:
    with MovedClock(holdfast_database_url) as moved:
        moved.move("1d")
        assert clock.now() - datetime.now(UTC) > timedelta(hours=23)
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_scheduled_jobs_and_retries_are_run_when_their_time_has_come(
    shop: Any, holdfast_database: Holdfast, holdfast_clock: MovedClock
) -> None:
    shop.send_welcome.options(run_in="1h").enqueue_sync(1)
    assert drain_sync(holdfast_database, ["mail"], horizon_seconds=0).completed == 0
    holdfast_clock.move("1h")
    assert drain_sync(holdfast_database, ["mail"], horizon_seconds=0).completed == 1
    shop.send_welcome.enqueue_sync(13)  # an id that was drawn before is too old by now: another one is
    for attempt in (1, 2, 3):
        drain_sync(holdfast_database, ["mail"], horizon_seconds=0)
        assert shop.done.count(13) == attempt
        assert assert_enqueued(shop.send_welcome, user_id=13).state == ("scheduled" if attempt < 3 else "failed")
        holdfast_clock.move("3h")
    assert [job.state for job in all_enqueued(shop.send_welcome)] == ["completed", "failed"]


def test_far_ahead_there_is_still_a_place_for_jobs(
    shop: Any, holdfast_database: Holdfast, holdfast_clock: MovedClock
) -> None:
    for _ in range(3):
        holdfast_clock.move("20d")
        shop.send_welcome.enqueue_sync(1)
        assert drain_sync(holdfast_database, ["mail"]).completed == 1
