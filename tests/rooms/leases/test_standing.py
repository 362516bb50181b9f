from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.leases import Standing, State


@pytest.fixture
def standing() -> Standing:
    one = Standing(silence_seconds=60, grace_seconds=1, cut_off_seconds=None)
    one.begin(100.0)
    return one


def test_a_worker_that_beats_is_live(standing: Standing) -> None:
    for at in range(100, 300, 2):
        standing.beaten(at, at)
        standing.tick(at + 1)
        assert standing.may_work(at + 1)


def test_after_a_pause_longer_than_the_silence_it_is_lost_before_it_is_asked(standing: Standing) -> None:
    assert not standing.may_work(160.1)
    standing.tick(160.1)
    assert standing.state is State.LOST


def test_a_late_beat_brings_nobody_back_from_lost(standing: Standing) -> None:
    standing.tick(161.0)
    standing.beaten(161.0, 161.0)
    assert standing.state is State.LOST
    assert not standing.may_work(161.0)


def test_a_session_that_stays_away_cuts_off_and_a_beat_restores(standing: Standing) -> None:
    standing.session_lost(110.0)
    standing.tick(110.9)
    assert standing.may_work(110.9)
    standing.tick(111.0)
    assert standing.state is State.CUT_OFF
    assert not standing.may_work(111.0)
    standing.beaten(111.1, 111.1)
    assert standing.state is State.CUT_OFF, "a beat without the number's lock is not enough"
    standing.session_back()
    standing.beaten(111.2, 111.2)
    assert standing.may_work(111.2)


def test_an_outage_of_any_length_cuts_off_but_does_not_lose(standing: Standing) -> None:
    standing.session_lost(110.0)
    for at in range(111, 900):
        standing.tick(at)
    assert standing.state is State.CUT_OFF
    standing.session_back()
    standing.beaten(900.0, 900.0)
    assert standing.may_work(900.0)


def test_old_news_does_not_restore() -> None:
    standing = Standing(silence_seconds=60, grace_seconds=60, cut_off_seconds=54)
    standing.begin(0.0)
    standing.tick(55.0)
    standing.beaten(0.5, 55.0)
    assert standing.state is State.CUT_OFF
    standing.beaten(54.9, 55.1)
    assert standing.may_work(55.1)


@given(st.lists(st.tuples(st.sampled_from(["beat", "lost", "back", "tick", "refused"]), st.floats(0, 40)), max_size=30))
def test_it_never_works_while_others_may_take_it_for_dead(moves: list[tuple[str, float]]) -> None:
    standing = Standing(silence_seconds=60, grace_seconds=1, cut_off_seconds=None)
    standing.begin(0.0)
    now = last_beat = 0.0
    refused = False
    for move, pause in moves:
        now += pause
        if move == "beat":
            standing.beaten(now, now)
            last_beat = now
        elif move == "lost":
            standing.session_lost(now)
        elif move == "back":
            standing.session_back()
        elif move == "refused":
            standing.refused("declared dead")
            refused = True
        else:
            standing.tick(now)
        if standing.may_work(now):
            assert not refused
            assert now - last_beat <= 60
