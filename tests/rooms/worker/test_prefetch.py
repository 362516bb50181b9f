"""How far a worker claims ahead: fifty milliseconds of work, by halves, and no more of long jobs than it can begin."""

from __future__ import annotations

import pytest

from holdfast.worker import prefetch
from holdfast.worker.prefetch import Prefetch

RUNNERS, MOST = 50, 1000


def at_speed(jobs_a_second: int, monkeypatch: pytest.MonkeyPatch) -> Prefetch:
    """One that has seen a second of work at this speed."""
    now = 100.0
    monkeypatch.setattr(prefetch, "monotonic", lambda: now)
    learned = Prefetch(RUNNERS, 0.05, MOST)
    for _ in range(jobs_a_second):
        learned.ended()
    now += 1.0
    learned.answered(0, 0.0)
    return learned


def test_a_new_worker_claims_what_its_runners_can_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    assert at_speed(0, monkeypatch).room(RUNNERS, 0) == RUNNERS


def test_long_jobs_are_not_claimed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = at_speed(10, monkeypatch)
    assert (slow.room(3, 0), slow.room(0, 0)) == (3, 0)


@pytest.mark.parametrize("speed", [4_000, 12_000, 15_000, 20_000, 40_000])
def test_one_half_is_on_its_way_while_the_other_is_worked_on(speed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = at_speed(speed, monkeypatch)
    first = quick.room(RUNNERS, 0)
    second = quick.room(0, first)
    assert 0 < second <= first
    assert first + second <= min(MOST, speed // 20)
    assert quick.room(0, first + second) == 0


def test_a_speed_that_falls_a_little_does_not_keep_the_second_half_from_being_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = at_speed(12_000, monkeypatch).room(RUNNERS, 0)
    assert at_speed(10_500, monkeypatch).room(0, first) > 0
