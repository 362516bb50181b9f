"""Finding jobs by a filter, in looks that end in time however many jobs there are.

Each look has a window of candidates, newest first. What it has not found there may stand further back: the answer says
up to where it has looked, and a cursor from which the next look goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements
from holdfast.errors import FilterInvalid
from holdfast.jobs.filter import JobFilter
from holdfast.jobs.states import Place

_SQL = load_statements("holdfast.jobs", "search.sql")
_NEWEST: Final = 2**63 - 1
_WINDOW, _WINDOW_WITH_TERMS = 4_000, 1_000
"""Candidates of one look: some 25 ms, here, when they are in memory. A term is judged job by job, and takes longer."""
_SCATTERED: Final = 4
"""Failed jobs stand on as many pages as there are of them: where these must come from the disk, a look takes longer."""
_PATIENCE_SECONDS: Final = 0.06
_COUNT_AT_ONCE, _COUNT_WINDOW = 10_000, 20_000


class Match(Struct, frozen=True):
    """A job that a filter found."""

    id: int
    state: str
    queue: str
    task: str
    error_type: str | None


class Matches(Struct, frozen=True):
    """A page of jobs. ``next``: the cursor of the next page, None at the end.

    ``searched_to``: the page is not full, because the search took its time; jobs enqueued before may fit as well.
    """

    jobs: Sequence[Match]
    next: str | None
    searched_to: datetime | None = None


class Found(Struct, frozen=True):
    """Jobs of one task in one state, with one type of error. ``oldest`` and ``newest`` are ids."""

    state: str
    task: str
    error_type: str | None
    jobs: int
    oldest: int
    newest: int


async def search(
    database: Database,
    found: JobFilter,
    *,
    after: str | None = None,
    below_id: int | None = None,
    limit: int = 50,
    patience_seconds: float | None = _PATIENCE_SECONDS,
) -> Matches:
    """A page of the jobs that a filter finds, newest first; ready ones alone: the last that became ready first.

    ``after``: the cursor of the page before. Looks again and again until the page is full or its patience is over;
    None has no end of patience. Raises ``FilterInvalid`` for a cursor of another search.
    """
    places = sorted(found.places)
    kind = "r" if places == [Place.READY] else "j"
    before = _position(after, kind)
    give_up_at = None if patience_seconds is None else monotonic() + patience_seconds
    matches: list[Match] = []
    while places:
        wanted = limit - len(matches)
        rows = await database.fetch(
            _SQL["search"], *_parameters(places, found, below_id), before, wanted, window(found)
        )
        matches += [
            Match(row["job_id"], row["place"], row["queue"], row["task"], row["error_type"])
            for row in rows
            if row["job_id"] is not None
        ]
        if len(matches) >= limit:
            return Matches(matches, f"{kind}{rows[-1]['position']}")
        if not rows or rows[-1]["job_id"] is not None:
            break
        before = rows[-1]["position"]
        if give_up_at is not None and monotonic() >= give_up_at:
            to = None if kind == "r" else await database.fetchval(_SQL["moment_of"], before)
            return Matches(matches, f"{kind}{before}", to)
    return Matches(matches, None)


async def count(
    database: Database, found: JobFilter, *, up_to: int, patience_seconds: float | None = None
) -> tuple[list[Found], bool]:
    """What a filter finds, in groups, the most first, and whether that is all.

    Counting ends somewhere above ``up_to``, or when its patience is over.
    """
    give_up_at = None if patience_seconds is None else monotonic() + patience_seconds
    groups: dict[tuple[str, str, str | None], list[int]] = {}
    total, is_exact = 0, True
    for place in sorted(found.places):
        before: int | None = _NEWEST
        while before is not None and is_exact:
            at_once = min(_COUNT_AT_ONCE, up_to - total)
            parameters = _parameters([place], found, None)
            rows = await database.fetch(_SQL["count"], *parameters, before, at_once, max(_COUNT_WINDOW, at_once))
            counted = sum(row["jobs"] for row in rows)
            total += counted
            for row in rows:
                if row["state"] is not None:
                    _add(groups, row)
            ended = counted < at_once and all(row["state"] is not None for row in rows)
            before = None if ended else min(row["position"] for row in rows)
            is_exact = ended or (total < up_to and (give_up_at is None or monotonic() < give_up_at))
    made = [Found(state, task, kind, *counts) for (state, task, kind), counts in groups.items()]
    return sorted(made, key=lambda group: (-group.jobs, group.task, group.state)), is_exact


def window(found: JobFilter) -> int:
    """How many candidates one look may take."""
    size = _WINDOW_WITH_TERMS if found.terms else _WINDOW
    return size // _SCATTERED if found.places <= {Place.FAILED, Place.CANCELLED} else size


def sights(found: JobFilter) -> tuple[list[str] | None, list[str] | None, list[str] | None, str | None]:
    """Queues, tasks, groups of failures, and the terms, as the database takes them."""
    return _listed(found.queues), _listed(found.tasks), _listed(found.failures), found.terms_text()


def bounds(found: JobFilter) -> tuple[int, int]:
    """The lowest id that is looked for, and the first above the highest."""
    if found.ids is None:
        return 0, _NEWEST
    return min(found.ids, default=_NEWEST), max(found.ids, default=-1) + 1


def _parameters(places: Sequence[str], found: JobFilter, below_id: int | None) -> tuple[Any, ...]:
    low, high = bounds(found)
    high = high if below_id is None else min(high, below_id)
    return list(places), *sights(found), found.younger_than_seconds, found.older_than_seconds, low, high


def _add(groups: dict[tuple[str, str, str | None], list[int]], row: Any) -> None:
    known = groups.setdefault((row["state"], row["task"], row["error_type"]), [0, row["oldest"], row["newest"]])
    known[0] += row["jobs"]
    known[1], known[2] = min(known[1], row["oldest"]), max(known[2], row["newest"])


def _position(after: str | None, kind: str) -> int:
    if after is None:
        return _NEWEST
    position = after[1:]
    if after[:1] == kind and position.isascii() and position.isdigit() and len(position) <= 19:
        return min(int(position), _NEWEST)
    raise FilterInvalid("the cursor belongs to another search", remedy="begin again without it")


def _listed(values: frozenset[str] | None) -> list[str] | None:
    return None if values is None else sorted(values)
