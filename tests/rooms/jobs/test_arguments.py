"""Arguments are checked against the task's signature before anything is stored, and restored before it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import BaseModel, Field

from holdfast import Holdfast, Job
from holdfast.errors import ArgumentsInvalid, ConfigurationError


class Colour(Enum):
    RED = "red"


class Address(BaseModel):
    city: str
    number: int = Field(gt=0)


@dataclass
class Order:
    lines: list[tuple[str, int]]
    due: date | None = None


RICH: dict[str, Any] = {
    "when": datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC),
    "address": Address(city="Köln", number=7),
    "order": Order([("bolt", 3)], date(2026, 1, 1)),
    "price": Decimal("12.50"),
    "key": UUID(int=5),
    "colour": Colour.RED,
    "wait": timedelta(minutes=5),
    "tags": {"a", "b"},
}


async def test_arguments_arrive_as_the_types_that_the_handler_declares(app: Holdfast) -> None:
    arrived: list[dict[str, Any]] = []

    @app.task
    async def work(  # noqa: PLR0917
        when: datetime,
        address: Address,
        order: Order,
        price: Decimal,
        key: UUID,
        colour: Colour,
        wait: timedelta,
        tags: set[str],
        note: str = "as declared",
    ) -> None:
        arrived.append({name: value for name, value in locals().items() if name != "arrived"})

    await work.enqueue(**RICH)
    assert (await app.drain()).ok
    assert arrived == [{**RICH, "note": "as declared"}]


async def test_defaults_are_those_of_the_day_it_runs(app: Holdfast) -> None:
    @app.task
    async def work(n: int, factor: int = 2) -> None: ...

    job_id = await work.enqueue(1)
    assert (await app.jobs.show(job_id)).args == {"n": 1}


NOT_FITTING: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "n: is missing"),
    ((1,), {"m": 2}, "m: is not a parameter"),
    (("one",), {}, r"n: .*\(got 'one'\)"),
    ((1, "a", 3), {}, "takes 2 positional arguments, 3 were given"),
    ((1,), {"n": 2}, "given n twice"),
    ((1,), {"word": "a\x00b"}, r"U\+0000"),
    ((1,), {"data": {"a\x00": 1}}, r"U\+0000"),
    ((1,), {"data": float("nan")}, "NaN"),
    ((1,), {"data": [{"x": float("-inf")}]}, "NaN or an infinity"),
    ((1,), {"word": "\ud800"}, "word|surrogate"),
    ((1,), {"data": ["\udfff"]}, "surrogate|JSON"),
    ((1,), {"data": object()}, "JSON"),
    ((1,), {"data": b"\xff"}, "JSON|utf"),
]


@pytest.mark.parametrize(("args", "kwargs", "message"), NOT_FITTING)
@pytest.mark.parametrize("way", ["one", "many", "connection"])
async def test_arguments_that_do_not_fit_are_refused_and_nothing_is_stored(
    app: Holdfast, outsider: Any, way: str, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    @app.task
    async def work(n: int, word: str = "", *, data: Any = None) -> None: ...

    if way == "many" and args and kwargs:
        kwargs = {"n": 1, **kwargs} if "n" not in kwargs else {"n": "one"}
        message = message if kwargs != {"n": "one"} else "n: "
        args = ()
    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "one": lambda: work.enqueue(*args, **kwargs),
        "many": lambda: work.enqueue_many([(1,), (2,), args or kwargs, (3,)]),
        "connection": lambda: work.using(outsider).enqueue(*args, **kwargs),
    }
    async with outsider.transaction():
        with pytest.raises(ArgumentsInvalid, match=message):
            await ways[way]()
        assert await outsider.fetchval("SELECT 1") == 1  # the caller's transaction is not lost
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.job") == 0


async def test_the_error_says_what_the_task_takes(app: Holdfast) -> None:
    @app.task
    async def work(job: Job, user_id: int, address: Address) -> None: ...

    with pytest.raises(ArgumentsInvalid) as caught:
        await work.enqueue(user="x")  # type: ignore[call-arg]
    assert "user_id: is missing" in caught.value.message
    assert caught.value.remedy == "the task takes (user_id: int, address: Address)"


@pytest.mark.parametrize("text", ["\\u0000", "a backslash \\\\u0000", "NaN", '"Infinity"', "\x7f\x01", "🦊" * 10, ""])
async def test_text_that_only_looks_dangerous_arrives_unchanged(app: Holdfast, text: str) -> None:
    @app.task
    async def work(text: str, deep: dict[str, Any]) -> Any:
        return [text, deep]

    job_id = await work.enqueue(text, {text: [text]})
    assert (await app.drain()).ok
    assert await app.jobs.result(job_id) == [text, {text: [text]}]


async def test_large_arguments_arrive_whole(app: Holdfast) -> None:
    @app.task
    async def work(text: str) -> int:
        return len(text)

    job_id = await work.enqueue("ä" * 3_000_000)
    assert (await app.drain()).ok
    assert await app.jobs.result(job_id) == 3_000_000


async def test_nesting_that_jsonb_cannot_hold_is_refused(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work(data: Any) -> None: ...

    data: Any = 1
    for _ in range(100_000):
        data = [data]
    with pytest.raises(ArgumentsInvalid):
        await work.enqueue(data)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.job") == 0


@pytest.mark.parametrize("calls", [[1], ["ab"], [None]])
async def test_a_call_that_is_neither_tuple_nor_dict_is_refused(app: Holdfast, calls: list[Any]) -> None:
    @app.task
    async def work(n: int) -> None: ...

    with pytest.raises(ArgumentsInvalid, match="is a tuple or dict of its arguments"):
        await work.enqueue_many(calls)


async def test_signatures_that_cannot_be_stored_by_name_are_refused_when_declared(app: Holdfast) -> None:
    async def many(*args: int) -> None: ...
    async def any_names(**kwargs: int) -> None: ...
    async def by_place(n: int, /) -> None: ...
    async def foreign(n: asyncpg.Connection) -> None: ...

    for handler in (many, any_names, by_place, foreign):
        with pytest.raises(ConfigurationError, match=handler.__name__):
            app.task(handler)
    assert app.tasks == {}


async def test_the_running_job_as_a_later_parameter_is_refused_with_what_to_do(app: Holdfast) -> None:
    async def late(n: int, job: Job) -> None: ...

    with pytest.raises(ConfigurationError, match="'job' is the running job") as refused:
        app.task(late)
    assert refused.value.remedy == "put `job: Job` before the others"


async def test_two_tasks_cannot_share_a_name(app: Holdfast) -> None:
    @app.task(name="same")
    async def one() -> None: ...

    with pytest.raises(ConfigurationError, match="two tasks named 'same'"):

        @app.task(name="same")
        async def two() -> None: ...


async def test_a_task_can_still_be_called_as_a_function(app: Holdfast) -> None:
    @app.task
    def double(n: int) -> int:
        return 2 * n

    assert double(21) == 42
