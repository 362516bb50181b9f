"""What the page of the atlas in the dashboard asks: every package with its scores, and who needs whom."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

from pydantic import BaseModel, Field

from holdfast.access import Permission
from holdfast.api import Asking, NounRouter
from holdfast.db import Statement, load_statements

router = NounRouter("atlas")

_MOST = 5_000
_COLUMNS = ("display_name", "kind", "latest_version", "licence", "criticality", "pony_factor")


class GraphOut(BaseModel):
    """The newest scores; edges are indexes of packages, so that ten thousand of them are a hundred kilobytes."""

    made_at: datetime | None = Field(description="null: nothing was scored yet")
    packages: list[list[Any]] = Field(description="name, kind, version, licence, criticality, pony factor")
    edges: list[tuple[int, int]] = Field(description="needs, needed")


@cache
def _statements() -> dict[str, Statement]:
    return dict(load_statements(__package__, "statements.sql"))


@router.read("/atlas/graph", needs=Permission.JOBS_READ)
async def atlas_graph(asking: Asking) -> GraphOut:
    """The packages most needed, 5 000 at the most, and the edges between them."""
    sql = _statements()
    is_there = await asking.database.fetchval(sql["installed"])
    snapshot = await asking.database.fetchrow(sql["latest_snapshot"]) if is_there else None
    if snapshot is None:
        return GraphOut(made_at=None, packages=[], edges=[])
    nodes = (await asking.database.fetch(sql["nodes"], snapshot["id"]))[:_MOST]
    index = {node["id"]: position for position, node in enumerate(nodes)}
    return GraphOut(
        made_at=snapshot["made_at"],
        packages=[[node[column] for column in _COLUMNS] for node in nodes],
        edges=[
            (index[row["in_vertex_id"]], index[row["out_vertex_id"]])
            for row in await asking.database.fetch(sql["edges"])
            if row["in_vertex_id"] in index and row["out_vertex_id"] in index
        ],
    )
