"""From the tables to a snapshot of scores: read the graph, apply the formulas, write only when the inputs changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import networkx as nx

from . import metrics
from .store import Transaction, statements


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which set of scores is current, and how many vertices it scores otherwise than the one before."""

    id: int
    changed: int


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything the scores depend on, in a fixed order."""

    vertices: list[tuple[int, int | None, bool, bool]]
    edges: list[tuple[int, int]]
    commits: list[tuple[int, int, int]]
    usage: list[tuple[int, str, int]]

    def hash(self) -> str:
        """Equal inputs, equal scores: the formulas know neither clock nor chance."""
        said = json.dumps([self.vertices, self.edges, self.commits, self.usage], separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Score:
    """The three figures of a vertex or a project; None is "no data"."""

    criticality: int
    pony_factor: int | None
    adoption: Decimal | None


async def materialise(tx: Transaction) -> Snapshot:
    """Bring the scores up to date; the same inputs give the same snapshot and write nothing."""
    sql = statements()
    await tx.execute(sql["lock_scores"])
    inputs = await _inputs(tx)
    inputs_hash = await asyncio.to_thread(inputs.hash)
    latest = await tx.fetchrow(sql["latest_snapshot"])
    if latest is not None and latest["inputs_hash"] == inputs_hash:
        return Snapshot(latest["id"], 0)
    vertices, projects = await asyncio.to_thread(compute, inputs)
    snapshot_id = int(await tx.fetchval(sql["add_snapshot"], inputs_hash))
    for statement, scores in (("add_vertex_scores", vertices), ("add_project_scores", projects)):
        ids = sorted(scores)
        await tx.execute(
            sql[statement], snapshot_id, ids,
            [scores[key].criticality for key in ids],
            [scores[key].pony_factor for key in ids],
            [scores[key].adoption for key in ids],
        )  # fmt: skip
    return Snapshot(snapshot_id, int(await tx.fetchval(sql["changed_scores"], snapshot_id)))


async def _inputs(tx: Transaction) -> Inputs:
    """Vertices are read last: they are never deleted, so whatever the other rows name is among them."""
    sql = statements()
    edges = [(row["in_vertex_id"], row["out_vertex_id"]) for row in await tx.fetch(sql["edges"])]
    counts = await tx.fetch(sql["commit_counts"])
    commits = [(row["vertex_id"], row["contributor_id"], row["number_of_commits"]) for row in counts]
    usage = [(row["vertex_id"], row["figure"], row["value"]) for row in await tx.fetch(sql["usage_totals"])]
    found = await tx.fetch(sql["scored_vertices"])
    vertices = [(row["id"], row["project_id"], row["active"], row["has_history"]) for row in found]
    return Inputs(vertices, edges, commits, usage)


def compute(inputs: Inputs) -> tuple[dict[int, Score], dict[int, Score]]:
    """Scores of vertices and of projects; pure, so that it can run in a thread and under a property test."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(vertex for vertex, _, _, _ in inputs.vertices)
    graph.add_edges_from(inputs.edges)
    active = [vertex for vertex, _, is_active, _ in inputs.vertices if is_active]
    counts: dict[int, dict[int, int]] = {vertex: {} for vertex, _, _, has_history in inputs.vertices if has_history}
    for vertex, person, commits in inputs.commits:
        counts.setdefault(vertex, {})[person] = commits
    figures: dict[int, dict[str, float | None]] = {vertex: {} for vertex, _, _, _ in inputs.vertices}
    for vertex, figure, value in inputs.usage:
        figures[vertex][figure] = value
    criticality, adoption = metrics.criticality(graph, active), metrics.adoption(figures)
    vertices = {
        vertex: Score(
            criticality[vertex],
            metrics.pony_factor(counts[vertex].values()) if vertex in counts else None,
            adoption[vertex],
        )
        for vertex in graph
    }
    members: dict[int, list[int]] = {}
    for vertex, project, _, _ in inputs.vertices:
        if project is not None:
            members.setdefault(project, []).append(vertex)
    return vertices, _projects(graph, active, members, counts, adoption)


def _projects(
    graph: nx.DiGraph[int],
    active: list[int],
    members: Mapping[int, list[int]],
    counts: Mapping[int, Mapping[int, int]],
    adoption: Mapping[int, Decimal | None],
) -> dict[int, Score]:
    criticality = metrics.project_criticality(graph, active, members)
    return {
        project: Score(
            criticality[project],
            metrics.pooled_pony_factor(counts[vertex] for vertex in vertices if vertex in counts),
            metrics.project_adoption(adoption[vertex] for vertex in vertices),
        )
        for project, vertices in members.items()
    }
