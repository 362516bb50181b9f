"""Stopped, hung, or only busy: the decision alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.leases import ProcessLook
from holdfast.worker.processes import ChildWatch, Finding

STEP = 0.25


def look(state: str = "S", cpu_seconds: float = 0) -> ProcessLook:
    return ProcessLook(state=state, cpu_seconds=cpu_seconds, start_ticks=1)


def watch() -> ChildWatch:
    return ChildWatch(0.0, silence_seconds=60, hung_limit_seconds=600)


def silent(one: ChildWatch, seconds: float, *, state: str = "S", busy: float = 0.0) -> Finding:
    """The last finding about a child that says nothing for so long."""
    finding = Finding(beat=True)
    for number in range(1, round(seconds / STEP) + 1):
        finding = one.judge(number * STEP, look(state, number * STEP * busy))
    return finding


def test_a_stopped_child_gets_no_beats_at_once_and_ends_after_the_silence() -> None:
    assert silent(watch(), 3, state="T") == Finding(beat=False)
    assert silent(watch(), 59, state="T").end is None
    assert silent(watch(), 61, state="T").end is not None


def test_a_child_that_goes_on_gets_beats_again() -> None:
    one = watch()
    silent(one, 50, state="T")
    one.heard(50.1)
    assert one.judge(50.25, look()) == Finding(beat=True)


def test_a_busy_child_gets_beats_up_to_the_hung_limit() -> None:
    assert silent(watch(), 599, busy=0.3) == Finding(beat=True)
    assert silent(watch(), 601, busy=0.3).end is not None


def test_a_hung_child_ends_after_the_silence() -> None:
    # What its other threads use while they wait for the interpreter is no sign of life.
    for busy in (0.0, 0.01):
        assert silent(watch(), 60, busy=busy) == Finding(beat=True)
        assert silent(watch(), 62, busy=busy).end is not None


def test_where_the_platform_tells_nothing_only_the_hung_limit_counts() -> None:
    one = watch()
    assert all(one.judge(number * STEP, None) == Finding(beat=True) for number in range(1, 2400))


@given(st.floats(3, 100_000), st.sampled_from(["S", "T"]))
def test_a_pause_of_the_supervisor_counts_for_nobody(pause: float, state: str) -> None:
    one = watch()
    one.heard(1.0)
    one.judge(1.0, look())

    assert one.judge(1.0 + pause, look(state)).end is None


@given(st.lists(st.tuples(st.floats(0.01, 1.9), st.sampled_from(["S", "R", "D"])), max_size=200))
def test_a_child_that_ticks_is_never_ended(steps: list[tuple[float, str]]) -> None:
    one, now = watch(), 0.0
    for pause, state in steps:
        now += pause
        one.heard(now)
        assert one.judge(now, look(state)) == Finding(beat=True)
