"""What handlers run inside of: entered anew for each call, left whatever happens, sync and async."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from holdfast import Holdfast


@pytest.fixture
def steps() -> list[str]:
    return []


def test_every_handler_runs_inside_the_last_one_outermost(steps: list[str]) -> None:
    app = Holdfast()

    @contextmanager
    def room(name: str) -> Iterator[None]:
        steps.append(f"enter {name}")
        try:
            yield
        finally:
            steps.append(f"leave {name}")

    @app.task
    def before(n: int) -> int:
        steps.append("work")
        return n

    app.around(lambda: room("inner"))
    app.around(lambda: room("outer"))

    @app.task
    async def after() -> None:
        await asyncio.sleep(0)
        raise ValueError("in the middle")

    assert before(7) == 7
    assert steps == ["enter outer", "enter inner", "work", "leave inner", "leave outer"]
    steps.clear()
    with pytest.raises(ValueError, match="middle"):
        asyncio.run(_await(after()))
    assert steps == ["enter outer", "enter inner", "leave inner", "leave outer"]
    assert inspect.iscoroutinefunction(after.handler)
    assert not inspect.iscoroutinefunction(before.handler)
    assert before.signature.describe() == "n: int"


async def _await(coroutine: object) -> None:
    assert inspect.isawaitable(coroutine)
    await coroutine


def test_without_any_the_handler_is_the_function_itself() -> None:
    app = Holdfast()

    def plain() -> None: ...

    assert app.task(plain).handler is plain
