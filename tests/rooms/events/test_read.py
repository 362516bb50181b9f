"""Reading: a stream, the log in its order, by scope, from a moment, live, and typed. ES-03, ES-04, ES-05, ES-10."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Event, Holdfast, RecordedEvent, Scope
from holdfast.errors import ConfigurationError, EventsInvalid, EventTypeUnknown
from holdfast.events import EventTypes
from tests.waiting import eventually


async def fill(app: Holdfast, streams: int = 3, each: int = 4) -> int:
    """Streams order-0, order-1, …; the last position."""
    last = 0
    for number in range(each):
        for stream in range(streams):
            event = Event(f"T{stream}", {"number": number}, tags=(f"even:{number % 2}",))
            last = (await app.events.append(f"{'order' if stream else 'cart'}-{stream}", event)).position
    await app.events.caught_up(last)
    return last


async def test_a_stream_is_read_whole_in_part_and_backwards(app: Holdfast) -> None:
    await fill(app)

    async def versions(**options: Any) -> list[int]:
        return [event.version for event in await app.events.read_stream("order-1", **options)]

    assert await versions() == [1, 2, 3, 4]
    assert await versions(from_version=2, to_version=3) == [2, 3]
    assert await versions(backwards=True, limit=2) == [4, 3]
    assert await app.events.read_stream("nothing") == []
    assert await app.events.version_of("order-1") == 4
    with pytest.raises(EventsInvalid):
        await app.events.read_stream("order-1", limit=0)


async def test_the_log_is_read_page_by_page_in_order(app: Holdfast) -> None:
    last = await fill(app)

    pages: list[list[int]] = []
    after = 0
    while after < last:
        page = await app.events.read(after, limit=5)
        pages.append([event.position for event in page.events])
        after = page.reached
    positions = [position for page in pages for position in page]
    assert [len(page) for page in pages] == [5, 5, 2]
    assert positions == sorted(positions)
    empty = await app.events.read(after)
    assert (empty.events, empty.reached) == ([], last)
    assert [event.position async for event in app.events.iterate()] == positions
    newest = await app.events.read_last(3)
    assert [event.position for event in newest] == positions[:-4:-1]


@pytest.mark.parametrize(
    ("scope", "count"),
    [
        (Scope(), 12),
        (Scope(types=("T1",)), 4),
        (Scope(types=("T1", "T2")), 8),
        (Scope(categories=("order",)), 8),
        (Scope(tags=("even:0",)), 6),
        (Scope(types=("T1",), tags=("even:0",)), 2),
        (Scope(categories=("cart",), tags=("even:1",)), 2),
        (Scope(types=("Never",)), 0),
    ],
    ids=str,
)
async def test_a_scope_gives_its_events_and_passes_the_others(app: Holdfast, scope: Scope, count: int) -> None:
    last = await fill(app)

    page = await app.events.read(scope=scope)
    assert len(page.events) == count
    assert page.reached == last  # also where nothing matches, so that no reader lags for ever
    assert [event.position for event in page.events] == sorted(event.position for event in page.events)
    newest = await app.events.read_last(100, scope=scope)
    assert newest == page.events[::-1]
    first = await app.events.read(scope=scope, limit=1)
    assert len(first.events) == min(count, 1)


def test_a_scope_takes_sequences_of_words() -> None:
    with pytest.raises(EventsInvalid, match="types"):
        Scope(types="T1")  # type: ignore[arg-type]


async def test_reading_begins_at_a_moment(app: Holdfast, outsider: asyncpg.Connection[Any]) -> None:
    await fill(app, each=1)
    await outsider.execute("update holdfast.tick set at = at - interval '1 hour'")
    between = datetime.now(UTC)
    later = await app.events.append("order-9", Event("Late", {}))
    await app.events.caught_up(later.position)

    page = await app.events.read(since=between)
    assert [event.type for event in page.events] == ["Late"]
    assert await app.events.position_at(between) == later.position - 1
    assert await app.events.position_at(between - timedelta(days=1)) == 0
    with pytest.raises(ConfigurationError, match="time zone"):
        await app.events.position_at(datetime.now())  # noqa: DTZ005 - that is the point


async def test_a_tail_gives_what_settles_and_needs_no_worker(app: Holdfast) -> None:
    await fill(app, each=1)
    seen: list[RecordedEvent] = []

    async def follow(after: int | None) -> None:
        async for event in app.events.tail(after, scope=Scope(types=("T1",))):
            seen.append(event)  # noqa: PERF401 - it never ends, and is looked at meanwhile

    live, whole = asyncio.create_task(follow(None)), asyncio.create_task(follow(0))
    await eventually(lambda: len(seen) == 1)

    async def both_have_it() -> bool:
        await app.events.append("order-1", Event("T1", {}))
        return len([event for event in seen if event.version > 1]) >= 2

    await eventually(both_have_it)
    live.cancel()
    whole.cancel()
    await asyncio.wait([live, whole])


async def test_a_snapshot_saves_reading_from_the_beginning(app: Holdfast) -> None:
    snapshots = app.events.snapshots
    assert await snapshots.load("order-1") is None
    await snapshots.save("order-1", 10, {"total": 7})
    await snapshots.save("order-1", 8, {"total": 5})

    kept = await snapshots.load("order-1")
    assert kept is not None
    assert (kept.version, kept.state) == (10, {"total": 7})
    assert await snapshots.load("order-1", schema_version=2) is None
    await snapshots.save("order-1", 9, {"sum": 6}, schema_version=2)
    assert (await snapshots.load("order-1", schema_version=2)) is not None
    await snapshots.drop()
    assert await snapshots.load("order-1", schema_version=2) is None
    with pytest.raises(EventsInvalid):
        await snapshots.save("order-1", 0, {})


# ---- partitions ------------------------------------------------------------------------------------------------------


async def test_a_stream_has_one_partition_of_64_that_anybody_can_compute(
    app: Holdfast, outsider: asyncpg.Connection[Any]
) -> None:
    names = [f"order-{uuid.UUID(int=number)}" for number in range(2000)] + ["ä", "日本", "a b"]
    rows = await outsider.fetch("select n, holdfast.partition_of(n) as p from unnest($1::text[]) as n", names)

    for row in rows:
        assert row["p"] == hashlib.sha256(row["n"].encode()).digest()[0] & 63
    spread = Counter(row["p"] for row in rows)
    assert set(spread) == set(range(64))
    assert max(spread.values()) < 2.2 * len(names) / 64
    await app.events.append("order-1", Event("T", {}))
    await app.events.append("order-1", Event("T", {}))
    stored = {event.partition for event in await app.events.read_stream("order-1")}
    assert stored == {hashlib.sha256(b"order-1").digest()[0] & 63}


# ---- typed events ----------------------------------------------------------------------------------------------------


@dataclass
class OrderPlaced:
    number: int
    at: datetime


class OrderPaid(msgspec.Struct):
    cents: int
    currency: str


class OrderSent(pydantic.BaseModel):
    to: str


def cents_of(data: dict[str, Any]) -> dict[str, Any]:
    return {"cents": round(data["euros"] * 100)}


def in_euros(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "currency": "EUR"}


def types() -> EventTypes:
    known = EventTypes()
    known.register(OrderPlaced)
    known.register(OrderPaid, version=3, upcasters={1: cents_of, 2: in_euros})
    known.register(OrderSent, name="order.sent")
    return known


async def test_typed_events_come_back_as_they_were(database_url: str) -> None:
    app = Holdfast(database_url)
    app.event(OrderPlaced)
    app.event(version=3, upcasters={1: cents_of, 2: in_euros})(OrderPaid)
    app.event(name="order.sent")(OrderSent)
    typed = [OrderPlaced(7, datetime(2026, 1, 2, tzinfo=UTC)), OrderPaid(250, "CHF"), OrderSent(to="Bern")]
    async with app:
        await app.events.append("order-1", typed)
        await app.events.append("order-1", Event("OrderPaid", {"euros": 1.5}, schema_version=1))
        await app.events.append("order-1", Event(data=OrderSent(to="Basel"), tags=("city:basel",)))
        stored = await app.events.read_stream("order-1")

    assert [event.load() for event in stored[:3]] == typed
    assert stored[3].load() == OrderPaid(150, "EUR")
    assert stored[3].data == {"euros": 1.5}
    assert [(event.type, event.schema_version) for event in stored] == [
        ("OrderPlaced", 1), ("OrderPaid", 3), ("order.sent", 1), ("OrderPaid", 1), ("order.sent", 1)
    ]  # fmt: skip


def test_unknown_types_versions_and_shapes_are_errors_of_their_own() -> None:
    with pytest.raises(EventTypeUnknown, match="registered: OrderPaid, OrderPlaced, order.sent"):
        types().load("Nonsense", 1, {})
    with pytest.raises(EventTypeUnknown, match="has schema version 4; this program knows 3"):
        types().load("OrderPaid", 4, {})
    for name, data in (("OrderPlaced", {"number": "x"}), ("order.sent", {})):
        with pytest.raises(EventTypeUnknown, match="does not fit"):
            types().load(name, 1, data)


def test_a_registration_with_a_hole_or_a_taken_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no upcaster from version 2"):
        EventTypes().register(OrderPaid, version=3, upcasters={1: cents_of})
    with pytest.raises(ConfigurationError, match="two event types"):
        types().register(OrderSent, name="OrderPlaced")


async def test_an_instance_of_no_registered_class_needs_a_type(app: Holdfast) -> None:
    with pytest.raises(EventsInvalid, match="OrderPlaced is not a registered class"):
        await app.events.append("order-1", OrderPlaced(1, datetime.now(UTC)))


@given(euros=st.integers(0, 10**9), currency=st.text(max_size=3))
def test_every_stored_version_lifts_to_the_class_of_today(euros: int, currency: str) -> None:
    known = types()

    assert known.load("OrderPaid", 1, {"euros": euros}) == OrderPaid(euros * 100, "EUR")
    assert known.load("OrderPaid", 2, {"cents": euros}) == OrderPaid(euros, "EUR")
    assert known.load("OrderPaid", 3, {"cents": euros, "currency": currency}) == OrderPaid(euros, currency)
