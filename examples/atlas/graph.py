"""What the page of the atlas in the dashboard shows: every package with its scores, and who needs whom."""

from __future__ import annotations

from . import store
from .store import Transaction

_MOST = 5_000


async def graph(connection: Transaction) -> dict[str, object]:
    """The newest scores, the most needed first, and the edges between them; at most 5 000 packages.

    Packages are ``[name, kind, version, licence, criticality, pony factor]``; edges ``[needs, needed]`` are indexes of
    them, so that ten thousands of edges are some hundred kilobytes.
    """
    sql = store.statements()
    if await connection.fetchval("SELECT to_regclass('atlas.snapshot') IS NULL"):
        return {"made_at": None, "packages": [], "edges": []}
    snapshot = await connection.fetchrow(sql["latest_snapshot"])
    if snapshot is None:
        return {"made_at": None, "packages": [], "edges": []}
    nodes = (await connection.fetch(sql["nodes"], snapshot["id"]))[:_MOST]
    index = {node["id"]: position for position, node in enumerate(nodes)}
    edges = [
        [index[row["in_vertex_id"]], index[row["out_vertex_id"]]]
        for row in await connection.fetch(sql["edges"])
        if row["in_vertex_id"] in index and row["out_vertex_id"] in index
    ]
    columns = ("display_name", "kind", "latest_version", "licence", "criticality", "pony_factor")
    return {
        "made_at": snapshot["made_at"].isoformat(),
        "packages": [[node[column] for column in columns] for node in nodes],
        "edges": edges,
    }
