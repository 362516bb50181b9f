"""One process: what a projection is given, what commits with its checkpoint, and where it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.errors import ConfigurationError, TimedOut
from holdfast.events.projections import Delivery
from tests.rooms.events.projections.serving import Log, drain, note, serving
from tests.waiting import eventually


@dataclass
class Placed:
    n: int


@dataclass
class Closed:
    n: int


async def test_every_event_once_and_in_the_order_of_its_stream(app: Holdfast, log: Log) -> None:
    app.projection("history")(note)
    await log.fill(streams=30, events=10)
    await drain(app)
    assert await log.check_history() == []
    assert len(await log.seen()) == 300


async def test_it_goes_on_where_it_stopped_and_an_empty_log_is_drained_at_once(app: Holdfast, log: Log) -> None:
    app.projection("history", batch=7)(note)
    await drain(app)
    await log.fill(streams=5, events=3)
    await drain(app)
    await log.fill(streams=5, events=3)
    await drain(app)
    assert await log.check_history() == []
    assert len(await log.seen()) == 30


async def test_nothing_beyond_the_settled_position_is_read(app: Holdfast, log: Log, outsider: Any) -> None:
    app.projection("history")(note)
    await log.fill(streams=3, events=1)
    await outsider.execute('select holdfast.append_events(\'s-9\', \'[{"type": "Counted", "data": {}}]\')')
    await drain(app)
    assert len(await log.seen()) == 3
    await log.tick()
    await drain(app)
    assert await log.check_history() == []


async def test_scopes_are_types_categories_and_tags(app: Holdfast, log: Log) -> None:
    seen: dict[str, list[int]] = {name: [] for name in ("typed", "orders", "tagged", "everything")}

    def noting(name: str) -> Any:
        async def handler(tx: Any, event: Any) -> None:
            seen[name].append(event.position)

        return handler

    app.projection("typed", types="Placed")(noting("typed"))
    app.projection("orders", categories="order")(noting("orders"))
    app.projection("tagged", tags=("big", "red"))(noting("tagged"))
    app.projection("everything")(noting("everything"))
    (placed,) = await log.append("order-1", {"n": 1}, type="Placed")
    (closed,) = await log.append("order-1", {"n": 1}, type="Closed", tags=("big",))
    (other,) = await log.append("user-1", {"n": 1}, type="Placed", tags=("red", "big", "new"))
    await drain(app)
    assert seen == {
        "typed": [placed, other],
        "orders": [placed, closed],
        "tagged": [other],
        "everything": [placed, closed, other],
    }


async def test_the_annotation_says_which_events_and_how_they_come(app: Holdfast, log: Log) -> None:
    got: list[Any] = []

    app.event(Placed)
    app.event(Closed)

    @app.projection("typed")
    async def typed(tx: Any, event: Placed | Closed) -> None:
        got.append(event)

    await log.append("order-1", {"n": 1}, type="Placed")
    await log.append("order-1", {"n": 2}, type="Shipped")
    await log.append("order-1", {"n": 3}, type="Closed")
    await drain(app)
    assert got == [Placed(1), Closed(3)]
    assert typed.projection.types == ("Placed", "Closed")


async def test_a_batch_handler_gets_lists_and_its_rows_replace_those_of_their_key(
    app: Holdfast, log: Log, outsider: Any
) -> None:
    app.event(Placed)
    await outsider.execute("create table latest (stream text primary key, n int not null, note text default 'new')")
    sizes = []

    @app.projection("latest", batch=50, into="latest", key="stream")
    async def latest(events: list[Placed]) -> list[dict[str, Any]]:
        sizes.append(len(events))
        return [{"stream": f"only-{event.n % 3}", "n": event.n} for event in events]

    await log.append("order-1", *({"n": n} for n in range(120)), type="Placed")
    await drain(app)
    rows = await outsider.fetch("select stream, n, note from latest order by stream")
    assert [tuple(row) for row in rows] == [("only-0", 117, "new"), ("only-1", 118, "new"), ("only-2", 119, "new")]
    assert sum(sizes) == 120
    assert max(sizes) <= 100


async def test_rows_without_a_key_are_copied_in(app: Holdfast, log: Log, outsider: Any) -> None:
    app.event(Placed)
    await outsider.execute("create table copied (n int not null)")

    @app.projection("copied", into="copied")
    def copied(events: list[Placed]) -> list[dict[str, Any]]:
        return [{"n": event.n} for event in events]

    await log.append("order-1", *({"n": n} for n in range(20)), type="Placed")
    await drain(app)
    assert await outsider.fetchval("select array_agg(n order by n) from copied") == list(range(20))


async def test_a_delivery_says_more_about_the_event(app: Holdfast, log: Log) -> None:
    app.event(Placed)
    got: list[Delivery] = []

    @app.projection("typed")
    async def typed(tx: Any, event: Placed, delivery: Delivery) -> None:
        got.append(delivery)

    (position,) = await log.append("order-1", {"n": 1}, type="Placed")
    await drain(app)
    assert [(d.event.position, d.event.stream, d.replaying) for d in got] == [(position, "order-1", False)]
    assert got[0].idempotency_key == f"holdfast-projection-typed-{position}"


async def test_an_idle_projection_has_no_lag_whatever_others_append(app: Holdfast, log: Log, outsider: Any) -> None:
    app.projection("orders", categories="order")(note)
    await log.append("order-1", {"n": 1})
    await drain(app)
    await log.fill(streams=20, events=5, prefix="user")
    (info,) = await app.projections.list("orders")
    assert (info.lag_events, info.lag_seconds) == (0, None)
    async with serving(app):
        last = (await log.all_positions())[-1]

        async def advanced() -> bool:
            behind = "select count(*) from holdfast.projection_partition where checkpoint < $1"
            return int(await outsider.fetchval(behind, last)) == 0

        await eventually(advanced)


async def test_lag_is_told_in_events_and_seconds_per_partition(app: Holdfast, log: Log, outsider: Any) -> None:
    app.projection("history")(note)
    await drain(app)
    await outsider.execute("set holdfast.clock_offset = '-90 seconds'")
    await log.append("order-1", {"n": 1}, {"n": 2})
    (lag,) = [each for each in await app.projections.lag("history") if each.lag_events]
    assert lag.lag_events == 2
    assert lag.lag_seconds is not None
    assert 90 <= lag.lag_seconds < 120
    (info,) = await app.projections.list()
    assert (info.lag_events, info.state) == (2, "unserved")


async def test_read_your_writes(app: Holdfast, log: Log) -> None:
    history = app.projection("history")(note)
    async with serving(app):
        for n in range(5):
            (position,) = await log.append(f"order-{n}", {"n": n})
            await history.caught_up(position)
            assert position in await log.seen()
    (position,) = await log.append("order-1", {"n": 9})
    with pytest.raises(TimedOut, match="has not reached"):
        await history.caught_up(position, timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "Big Name"}, "cannot name a projection"),
        ({"on_failure": "ignore"}, "'park' or 'stop'"),
        ({"batch": 0}, "between 1 and"),
        ({"version": 0}, "1 or more"),
        ({"tables": "shop.orders"}, "names a schema"),
        ({"into": "orders"}, "batch handler"),
    ],
)
async def test_a_declaration_that_cannot_be_meant_is_refused(app: Holdfast, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        app.projection(**{"name": "fine", **options})(note)


async def test_two_projections_of_one_name_are_refused(app: Holdfast) -> None:
    app.projection("history")(note)
    with pytest.raises(ConfigurationError, match="two projections"):
        app.projection("history")(note)
