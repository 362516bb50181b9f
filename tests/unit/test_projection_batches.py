"""Batches of a projection, cut anywhere: nothing is lost, nothing twice, every partition ends where it should."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from holdfast.events import RecordedEvent
from holdfast.events.projections.batch import Batch, Placed, assemble

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
partitions = st.lists(st.integers(0, 4), max_size=30)


def placed(position: int, partition: int) -> Placed:
    event = RecordedEvent(position, f"s-{position % 7}", 1, "T", 1, {}, uuid.UUID(int=position), MOMENT)
    return Placed(partition, event)


def batch_of(of: list[int]) -> Batch:
    """Events at positions 1, 2 … of these partitions; all five partitions are read to beyond the last."""
    events = [placed(position, partition) for position, partition in enumerate(of, 1)]
    return Batch(events, dict.fromkeys(range(5), len(of) + 10))


def positions(batch: Batch) -> list[int]:
    return [each.event.position for each in batch.events]


@given(partitions, st.integers(0, 30))
def test_a_cut_loses_nothing_and_each_part_checkpoints_no_further_than_its_own_events(of: list[int], at: int) -> None:
    whole = batch_of(of)
    first, rest = whole.cut(at)
    assert positions(first) + positions(rest) == positions(whole)
    assert {**first.reached, **rest.reached} == whole.reached
    for partition, reached in first.reached.items():
        waiting = [each.event.position for each in rest.events if each.partition == partition]
        assert all(reached < position for position in waiting)


@given(partitions, st.integers(1, 30))
def test_what_does_not_fit_is_not_passed_over(of: list[int], count: int) -> None:
    whole = batch_of(of)
    part = whole.at_most(count)
    assert positions(part) == positions(whole)[:count]
    for left in whole.events[count:]:
        assert part.reached.get(left.partition, 0) < left.event.position


@given(partitions, st.sets(st.integers(0, 4)), st.sets(st.integers(0, 6)))
def test_resting_partitions_do_not_move_and_waiting_streams_are_passed_over(
    of: list[int], resting: set[int], waiting: set[int]
) -> None:
    part = batch_of(of).without(resting, {f"s-{n}" for n in waiting})
    assert not resting & part.reached.keys()
    assert all(each.partition not in resting and int(each.event.stream[2:]) not in waiting for each in part.events)


@given(partitions, st.integers(1, 5))
def test_a_partition_that_gave_all_it_was_asked_for_goes_to_its_last_event_only(of: list[int], limit: int) -> None:
    taken = [
        placed(position, partition)
        for position, partition in enumerate(of, 1)
        if of[: position - 1].count(partition) < limit
    ]
    batch, full = assemble([(each, False) for each in taken], dict.fromkeys(range(5), 99), limit)
    for partition in range(5):
        mine = [each.event.position for each in taken if each.partition == partition]
        assert batch.reached[partition] == (mine[-1] if len(mine) == limit else 99)
        assert (partition in full) == (len(mine) == limit)


def test_in_log_order_all_partitions_stand_at_one_position() -> None:
    part = batch_of([0, 1, 2, 0, 1]).up_to(3)
    assert positions(part) == [1, 2, 3]
    assert set(part.reached.values()) == {3}
