"""Append: versions, expectations, refusals that leave the transaction alone, repetitions. ES-01, ES-02, ES-16."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import asyncpg
import psycopg
import pytest

from holdfast import Append, Event, Holdfast
from holdfast.errors import (
    ConfigurationError,
    EventIdTaken,
    EventsInvalid,
    IdempotencyKeyTaken,
    VersionConflict,
)
from holdfast.events import AppendOptions


def placed(number: int = 1, **more: Any) -> Event:
    return Event("OrderPlaced", {"number": number}, **more)


async def test_versions_count_from_one_in_every_stream(app: Holdfast) -> None:
    first = await app.events.append("order-1", [placed(1), placed(2)])
    other = await app.events.append("order-2", placed(1))
    then = await app.events.append("order-1", placed(3))

    assert (first.versions, other.versions, then.versions) == ((1, 2), (1,), (3,))
    assert first.positions < other.positions < then.positions
    assert [event.data["number"] for event in await app.events.read_stream("order-1")] == [1, 2, 3]


async def test_everything_that_is_said_about_an_event_is_kept(app: Holdfast) -> None:
    event_id = uuid.uuid4()
    event = placed(7, id=event_id, tags=("customer:1", 'quote " and \\ slash', "{braces},"), metadata={"actor": "ada"})
    await app.events.append(
        "order-1", event, correlation_id="request-9", causation_id="command-3", trace={"traceparent": "00-1-2-01"},
        metadata={"actor": "nobody", "tenant": 4},
    )  # fmt: skip

    (kept,) = await app.events.read_stream("order-1")
    assert (kept.id, kept.type, kept.schema_version, kept.data) == (event_id, "OrderPlaced", 1, {"number": 7})
    assert kept.tags == ("customer:1", 'quote " and \\ slash', "{braces},")
    assert kept.metadata == {"actor": "ada", "tenant": 4}
    assert (kept.correlation_id, kept.causation_id) == ("request-9", "command-3")
    assert kept.trace == {"traceparent": "00-1-2-01"}
    assert kept.recorded_at.tzinfo is not None


@pytest.mark.parametrize(
    ("events", "expected", "says"),
    [
        ([], "any", "nothing to append"),
        ([placed(stream="order-2")], "any", "cannot be appended to 'order-1'"),
        ([placed()], -1, "expected version"),
        ([placed()], True, "expected version"),
        ([placed()], "some", "expected version"),
        ([Event("", {})], "any", "no type"),
        ([Event("A", object())], "any", "JSON"),
        ([Event("A", "nul \0")], "any", "U\\+0000"),
        ([Event("A", {}, tags=("",))], "any", "a tag is text"),
        ([Event("A", {}, id="x")], "any", "uuid"),  # type: ignore[arg-type]
        ([placed(id=uuid.UUID(int=1)), placed(id=uuid.UUID(int=1))], "any", "same id"),
        ([Event("A", "x" * 1_000_001)], "any", "the limit is 1000000"),
    ],
)
async def test_what_cannot_be_appended_is_refused_before_it_is_sent(
    app: Holdfast, events: list[Event], expected: Any, says: str
) -> None:
    with pytest.raises(EventsInvalid, match=says):
        await app.events.append("order-1", events, expected_version=expected)
    assert await app.events.version_of("order-1") == 0


async def test_append_many_needs_streams_and_each_once(app: Holdfast) -> None:
    with pytest.raises(EventsInvalid, match="nothing"):
        await app.events.append_many([])
    with pytest.raises(EventsInvalid, match="twice"):
        await app.events.append_many([Append("a", placed()), Append("a", placed())])
    with pytest.raises(EventsInvalid, match="a stream is text"):
        await app.events.append("", placed())


@pytest.mark.parametrize("expected", ["none", 0])
async def test_none_admits_one_only(app: Holdfast, expected: Any) -> None:
    await app.events.append("mail-ada@example.org", placed(), expected_version=expected)

    with pytest.raises(VersionConflict) as refused:
        await app.events.append("mail-ada@example.org", placed(), expected_version=expected)
    assert (refused.value.expected, refused.value.actual) == (0, 1)


async def test_an_exact_version_must_hold(app: Holdfast) -> None:
    with pytest.raises(VersionConflict, match="does not exist"):
        await app.events.append("order-1", placed(), expected_version=1)
    await app.events.append("order-1", placed(1), expected_version="none")
    await app.events.append("order-1", placed(2), expected_version=1)

    with pytest.raises(VersionConflict, match="version 1 was expected, it stands at 2") as refused:
        await app.events.append("order-1", placed(3), expected_version=1)
    (winner,) = refused.value.winners
    assert (winner.type, winner.version, winner.stream) == ("OrderPlaced", 2, "order-1")


@pytest.mark.parametrize("expected", ["none", 1])
async def test_of_many_at_once_exactly_one_wins(app: Holdfast, expected: Any) -> None:
    if expected == 1:
        await app.events.append("order-1", placed())

    async def race(number: int) -> bool | None:
        try:
            await app.events.append("order-1", placed(number), expected_version=expected)
        except VersionConflict as error:
            return bool(error.winners)
        return None

    told = await asyncio.gather(*map(race, range(12)))
    assert (told.count(None), told.count(True)) == (1, 11)


@pytest.mark.parametrize(
    "appends",
    [
        [Append("order-2", placed(), "none")],
        [Append("order-1", placed()), Append("order-2", placed(), "none"), Append("order-3", placed())],
    ],
    ids=["one stream", "several"],
)
async def test_a_refusal_leaves_the_callers_transaction_as_it_was(
    app: Holdfast, outsider: asyncpg.Connection[Any], appends: list[Append]
) -> None:
    await app.events.append("order-2", placed())
    await outsider.execute("create table business (id int)")

    async with outsider.transaction():
        await outsider.execute("insert into business values (1)")
        with pytest.raises(VersionConflict):
            await app.events.using(outsider).append_many(appends)
        await app.events.using(outsider).append("order-4", placed())

    assert await outsider.fetchval("select count(*) from business") == 1
    streams = await outsider.fetch("select name, version from holdfast.stream order by name")
    assert [tuple(row) for row in streams] == [("order-2", 1), ("order-4", 1)]


async def test_several_streams_are_appended_to_at_once_in_the_callers_order(app: Holdfast) -> None:
    await app.events.append("b", placed())

    z, b, a = await app.events.append_many(
        [Append("z", [placed(1), placed(2)], "none"), Append("b", placed(3), 1), Append("a", placed(4))]
    )

    assert (z.versions, b.versions, a.versions) == ((1, 2), (2,), (1,))
    assert [*z.positions, *b.positions, *a.positions] == sorted([*z.positions, *b.positions, *a.positions])
    assert [event.data["number"] for event in await app.events.read_stream("z")] == [1, 2]


async def test_thousands_of_streams_in_one_append(app: Holdfast) -> None:
    done = await app.events.append_many([Append(f"s-{number}", placed(number)) for number in range(3000)])

    assert len({one.position for one in done}) == 3000
    assert {one.version for one in done} == {1}


async def test_a_transaction_that_is_rolled_back_leaves_nothing(
    app: Holdfast, outsider: asyncpg.Connection[Any]
) -> None:
    transaction = outsider.transaction()
    await transaction.start()
    await app.events.using(outsider).append("order-1", placed())
    await transaction.rollback()

    assert (await app.events.append("order-1", placed())).versions == (1,)


async def test_psycopg_appends_in_its_own_transaction_with_and_without_await(app: Holdfast, database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        done = await app.events.using(connection).append("order-1", [placed(1, tags=("t",)), placed(2)])
        assert done.versions == (1, 2)
        with pytest.raises(VersionConflict):
            await app.events.using(connection).append("order-1", placed(3), expected_version="none")
        await connection.commit()

    log = app.events

    def in_thread() -> tuple[int, ...]:
        with psycopg.connect(database_url) as connection:
            using = log.using(connection)
            using.append_many_sync([Append("order-2", placed(1)), Append("order-3", placed(1))])
            with pytest.raises(VersionConflict):
                using.append_sync("order-1", placed(), expected_version=7)
            return using.append_sync("order-1", placed(3), expected_version=2).versions

    assert await asyncio.to_thread(in_thread) == (3,)
    assert len(await app.events.read_stream("order-1")) == 3


async def test_the_same_id_with_the_same_content_is_one_event(app: Holdfast) -> None:
    event = placed(1, id=uuid.uuid4())

    first = await app.events.append("order-1", event, expected_version="none")
    again = await app.events.append("order-1", event, expected_version="none")
    much_later = await app.events.append("order-1", event)

    assert not first.repeated
    assert again.repeated
    assert (first.positions, first.versions) == (again.positions, again.versions) == (much_later.positions, (1,))
    assert first.recorded_at == again.recorded_at


async def test_the_same_id_with_other_content_is_its_own_error(
    app: Holdfast, outsider: asyncpg.Connection[Any]
) -> None:
    event_id = uuid.uuid4()
    await app.events.append("order-1", placed(1, id=event_id))

    async with outsider.transaction():
        for stream, number in (("order-1", 2), ("order-2", 1)):
            with pytest.raises(EventIdTaken, match=str(event_id)):
                await app.events.using(outsider).append(stream, placed(number, id=event_id))
        with pytest.raises(EventIdTaken):
            await app.events.using(outsider).append("order-1", [placed(1, id=event_id), placed(2, id=uuid.uuid4())])
        await app.events.using(outsider).append("order-3", placed())

    assert await app.events.version_of("order-1") == 1
    assert await app.events.version_of("order-3") == 1


@pytest.mark.parametrize("stream_of", ["one", "each"])
async def test_the_same_id_at_once_is_one_event(app: Holdfast, stream_of: str) -> None:
    event = placed(1, id=uuid.uuid4())

    async def race(number: int) -> bool | None:
        try:
            stream = "order-1" if stream_of == "one" else f"order-{number}"
            return (await app.events.append(stream, event)).repeated
        except EventIdTaken:
            return None

    told = await asyncio.gather(*map(race, range(8)))
    assert told.count(False) == 1
    assert told.count(True if stream_of == "one" else None) == 7


async def test_an_idempotency_key_gives_the_first_positions_again(app: Holdfast) -> None:
    async def attempt(_number: int) -> Any:
        appends = [Append("a", [placed(1), placed(2)]), Append("b", placed(3))]
        return await app.events.append_many(appends, idempotency_key="request-1")

    told = await asyncio.gather(*map(attempt, range(8)))

    assert len({tuple(done.positions for done in several) for several in told}) == 1
    assert sum(not several[0].repeated for several in told) == 1
    assert (await app.events.version_of("a"), await app.events.version_of("b")) == (2, 1)
    with pytest.raises(IdempotencyKeyTaken, match="request-1"):
        await app.events.append("a", placed(9), idempotency_key="request-1")


@pytest.mark.parametrize(
    "options",
    [{"idempotency_key": ""}, {"idempotency_key": "\0"}, {"correlation_id": "\0"}, {"causation_id": "\0"}],
    ids=str,
)
async def test_keys_and_causes_are_text(app: Holdfast, options: AppendOptions) -> None:
    with pytest.raises(EventsInvalid, match="is text"):
        await app.events.append("a", placed(), **options)


async def test_a_refused_append_does_not_use_up_its_key(app: Holdfast) -> None:
    with pytest.raises(VersionConflict):
        await app.events.append("a", placed(), expected_version=3, idempotency_key="k")

    assert not (await app.events.append("a", placed(), idempotency_key="k")).repeated


async def test_checks_that_need_a_fresh_look_are_refused_under_an_old_snapshot(
    app: Holdfast, outsider: asyncpg.Connection[Any]
) -> None:
    async with outsider.transaction(isolation="repeatable_read"):
        await app.events.using(outsider).append("a", placed(), expected_version="none")
        with pytest.raises(ConfigurationError, match="repeatable read"):
            await app.events.using(outsider).append("a", placed(id=uuid.uuid4()))


async def test_streams_are_locked_in_one_order(app: Holdfast) -> None:
    async def race(names: list[str]) -> None:
        for _ in range(10):
            await app.events.append_many([Append(name, placed()) for name in names])

    names = [f"s-{number}" for number in range(6)]
    await asyncio.gather(*(race(names if number % 2 else names[::-1]) for number in range(6)))

    assert {await app.events.version_of(name) for name in names} == {60}
