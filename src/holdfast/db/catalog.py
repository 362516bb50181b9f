"""The schema as PostgreSQL's catalog describes it: written out as one readable file, and compared with a live one."""

from __future__ import annotations

import difflib
import heapq
import importlib.resources
import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from holdfast.db.migrator import MigrationState, MigrationStatus, migration_status
from holdfast.db.statements import load_statements

_STATEMENTS = load_statements("holdfast.db", "catalog.sql")
# The order in which people read; dependencies only move something forward where they must.
_SECTIONS = (
    "schema",
    "types",
    "sequences",
    "tables",
    "sequence_owners",
    "foreign_keys",
    "views",
    "functions",
    "triggers",
    "statistics",
)
# Of a form that no comment in the body of a function has by accident.
_HEADING = re.compile(r"^-- \[([a-z ]+)\] (holdfast\b.*)$", re.MULTILINE)
_QUALIFIER = re.compile(r"\b\w+\.")
_INTRODUCTION = importlib.resources.files("holdfast.db").joinpath("schema_introduction.sql")


class CatalogObject(Struct, frozen=True):
    """One thing of the schema and the statements that make it."""

    kind: str
    identity: str
    definition: str

    @property
    def comparable(self) -> str:
        """The definition without what differs between versions of PostgreSQL.

        15 writes the table's name before every column of a view, 16 only where it is needed.
        """
        return _QUALIFIER.sub("", self.definition) if self.kind == "view" else self.definition


class Validation(Struct, frozen=True):
    """What ``holdfast db validate`` found."""

    statuses: Sequence[MigrationStatus]
    drift: Sequence[str]
    """Differences between the live schema and the program's, one text each; empty when there are none."""

    @property
    def ok(self) -> bool:
        """Whether every migration is applied unaltered and the schema is what they made."""
        return not self.drift and all(status.state is MigrationState.APPLIED for status in self.statuses)


async def describe_schema(connection: Any) -> list[CatalogObject]:
    """The live schema, in an order in which it can be made; deterministic, whatever order it was made in."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_STATEMENTS["qualify_names"].sql)
        found: dict[str, tuple[tuple[int, str], CatalogObject]] = {}
        for rank, section in enumerate(_SECTIONS):
            for row in await connection.fetch(_STATEMENTS[section].sql):
                described = CatalogObject(row["kind"], row["identity"], row["definition"])
                found[row["key"]] = ((rank, row["identity"]), described)
        edges = [(row["key"], row["needs"]) for row in await connection.fetch(_STATEMENTS["dependencies"].sql)]
    order = _sorted_by_need({key: place for key, (place, _) in found.items()}, edges)
    return [found[key][1] for key in order]


async def validate(connection: Any) -> Validation:
    """Compare checksums with the program's migrations, and the live schema with the one they make.

    Reads only. Drift is judged only when every migration is applied: before that, difference is no finding.
    """
    statuses = await migration_status(connection)
    if any(status.state is not MigrationState.APPLIED for status in statuses):
        return Validation(statuses, ())
    return Validation(statuses, compare(shipped_schema(), await describe_schema(connection)))


def compare(wanted: Iterable[CatalogObject], live: Iterable[CatalogObject]) -> list[str]:
    """Say in one text for each difference what is missing, unexpected or different; order does not matter."""
    expected = {(each.kind, each.identity): each for each in wanted}
    present = {(each.kind, each.identity): each for each in live}
    drift = [f"{kind} {identity} is missing" for kind, identity in expected if (kind, identity) not in present]
    drift += [f"{kind} {identity} is not Holdfast's" for kind, identity in present if (kind, identity) not in expected]
    for (kind, identity), each in expected.items():
        other = present.get((kind, identity))
        if other is not None and other.comparable != each.comparable:
            lines = difflib.unified_diff(
                each.comparable.splitlines(), other.comparable.splitlines(), "migrations", "database", lineterm="", n=1
            )
            drift.append(f"{kind} {identity} differs:\n" + "\n".join(lines))
    return drift


def shipped_schema() -> list[CatalogObject]:
    """The schema of ``schema.sql``, the file that comes with this program."""
    return read_schema(importlib.resources.files("holdfast.db").joinpath("schema.sql").read_text(encoding="utf-8"))


def read_schema(text: str) -> list[CatalogObject]:
    """The opposite of ``render_schema``."""
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return [
        CatalogObject(heading[1], heading[2], text[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    ]


def render_schema(objects: Iterable[CatalogObject]) -> str:
    """The objects as one file that makes them in an empty database."""
    blocks = [f"-- [{each.kind}] {each.identity}\n{each.definition.strip()}" for each in objects]
    return "\n\n".join([_INTRODUCTION.read_text(encoding="utf-8").strip(), *blocks]) + "\n"


def _sorted_by_need(places: dict[str, tuple[int, str]], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Keys by place, save that what is needed comes before what needs it."""
    needs: dict[str, set[str]] = {key: set() for key in places}
    needed_by: dict[str, set[str]] = {key: set() for key in places}
    for key, needed in edges:
        if key in places and needed in places:
            needs[key].add(needed)
            needed_by[needed].add(key)
    ready = [(places[key], key) for key, missing in needs.items() if not missing]
    heapq.heapify(ready)
    order = []
    while ready:
        _, key = heapq.heappop(ready)
        order.append(key)
        for follower in needed_by[key]:
            needs[follower].discard(key)
            if not needs[follower]:
                heapq.heappush(ready, (places[follower], follower))
    # Objects that need one another in a circle still belong into the description.
    return order + sorted(places.keys() - set(order), key=places.__getitem__)
