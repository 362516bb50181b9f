"""Cursors: what was handed out is understood, anything else is refused, and nothing that is sent breaks the server."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.api.frame.values import Position, page_of
from holdfast.errors import CursorInvalid

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), texts, st.floats(allow_nan=False))


@given(st.lists(scalars, max_size=5))
def test_what_was_written_is_read(values: list[Any]) -> None:
    assert Position.decode(Position(tuple(values)).encode()).values == tuple(values)


def tried(text: str) -> Position | None:
    try:
        return Position.decode(text)
    except CursorInvalid:
        return None


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_anything_is_a_cursor_or_refused(text: str) -> None:
    found = tried(text)

    for read in (Position.integer, Position.text, Position.moment):
        for index in range(3):
            try:
                if found is not None:
                    read(found, index)
            except CursorInvalid:
                continue


@pytest.mark.parametrize(
    "content",
    ["{}", '"a"', "[[1]]", '[{"a": 1}]', "[1", "NaN", '["\\ud800"]', "[" * 300 + "]" * 300, "[9" + "9" * 5000 + "]"],
)
async def test_a_cursor_that_was_made_up_is_refused(http: httpx.AsyncClient, content: str) -> None:
    made_up = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    answer = await http.get("/audit", params={"cursor": made_up})

    assert answer.status_code == 422


@pytest.mark.parametrize("values", [["a"], [2**63], [-(2**63) - 1], [1.5], [True], [None], []])
async def test_a_cursor_of_another_list_is_refused(http: httpx.AsyncClient, values: list[Any]) -> None:
    cursor = Position(tuple(values)).encode()
    answer = await http.get("/audit", params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")


async def test_pages_follow_each_other_without_a_gap(http: httpx.AsyncClient) -> None:
    for number in range(7):
        await http.post("/acts/pause", json={"name": f"q{number}"})
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (await http.get("/audit", params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
        seen += [row["target"] for row in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert seen == [f"q{number}" for number in reversed(range(7))]


def test_a_page_that_is_just_full_is_the_last_one() -> None:
    assert page_of([3, 2], 2, lambda row: [row]) == ([3, 2], None)
    shown, following = page_of([3, 2, 1], 2, lambda row: [row, datetime(2026, 1, 1, tzinfo=UTC)])

    assert shown == [3, 2]
    assert following is not None
    assert Position.decode(following).moment(1) == datetime(2026, 1, 1, tzinfo=UTC)
    assert json.loads(base64.urlsafe_b64decode(following + "==")) == [2, "2026-01-01T00:00:00+00:00"]
