"""The three scores as formulas, free of storage: criticality, pony factor, adoption.

Graph work uses networkx: pure Python, no compiler, a wheel for every platform, released twice a year. rustworkx is as
well kept and faster, but the one hot loop here is a bit-set sweep that needs neither.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TypeVar

import networkx as nx

Node = TypeVar("Node", bound=Hashable)
Group = TypeVar("Group", bound=Hashable)
Person = TypeVar("Person", bound=Hashable)
ADOPTION_FIGURES = ("downloads", "stars", "forks")


def pony_factor(counts: Iterable[int], threshold: float = 0.5) -> int:
    """How few people made at least half of the commits; 0 when nobody made any."""
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be in (0, 1], got {threshold}")
    positive = sorted((count for count in counts if count > 0), reverse=True)
    goal, reached = threshold * sum(positive), 0
    for people, count in enumerate(positive, start=1):
        reached += count
        if reached >= goal:
            return people
    return 0


def pooled_pony_factor(counts_by_person: Iterable[Mapping[Person, int]]) -> int | None:
    """The pony factor of a project: people pooled over its repositories; None when it has none."""
    pooled: dict[Person, int] = {}
    repositories = 0
    for counts in counts_by_person:
        repositories += 1
        for person, count in counts.items():
            pooled[person] = pooled.get(person, 0) + max(count, 0)
    return pony_factor(pooled.values()) if repositories else None


def percentiles(values: Mapping[Node, float | None]) -> dict[Node, float]:
    """Share of strictly smaller values, in percent: the least has 0, equals are equal, unknown values take no part."""
    known = {node: value for node, value in values.items() if value is not None}
    rank = {value: position for position, value in reversed(list(enumerate(sorted(known.values()))))}
    return {node: rank[value] / len(known) * 100 for node, value in known.items()}


def adoption(figures: Mapping[Node, Mapping[str, float | None]]) -> dict[Node, Decimal | None]:
    """Mean of the percentiles a repository has among downloads, stars and forks; None when it has no figure."""
    ranked = [percentiles({node: known.get(figure) for node, known in figures.items()}) for figure in ADOPTION_FIGURES]
    return {node: _mean([of_figure[node] for of_figure in ranked if node in of_figure]) for node in figures}


def project_adoption(scores: Iterable[Decimal | None]) -> Decimal | None:
    """Mean over the repositories of a project that have a score."""
    return _mean([float(score) for score in scores if score is not None])


def _mean(values: Sequence[float]) -> Decimal | None:
    if not values:
        return None
    mean = sum(map(Decimal, values), start=Decimal(0)) / len(values)
    return mean.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def active_subgraph(graph: nx.DiGraph[Node], active: Collection[Node]) -> nx.DiGraph[Node]:
    """What active repositories need, directly or not, with everything in between; always a copy.

    The seeds are the strongly connected components that hold an active repository and that no other such component
    needs. Their closure is simply the closure of all active repositories, so a cycle nobody outside depends on, or one
    below an inactive package, is seeded like any single repository.
    """
    reached: set[Node] = set()
    frontier = [node for node in active if node in graph]
    while frontier:
        node = frontier.pop()
        if node not in reached:
            reached.add(node)
            frontier.extend(graph.successors(node))
    return graph.subgraph(reached).copy()


def transitive_dependents(graph: nx.DiGraph[Node]) -> dict[Node, int]:
    """For each node the set of its dependents as a bit set over ``list(graph)``; edges lead from who needs to what.

    Cycles are condensed first: members of a component depend on each other, never on themselves.
    """
    bit = {node: 1 << position for position, node in enumerate(graph)}
    condensed: nx.DiGraph[int] = nx.condensation(graph)
    above: dict[int, int] = {}
    found: dict[Node, int] = {}
    for component in nx.topological_sort(condensed):
        members: Collection[Node] = condensed.nodes[component]["members"]
        everyone = 0
        for dependent in condensed.predecessors(component):
            everyone |= above[dependent]
        for node in members:
            everyone |= bit[node]
        above[component] = everyone
        found.update((node, everyone & ~bit[node]) for node in members)
    return found


def criticality(graph: nx.DiGraph[Node], active: Collection[Node]) -> dict[Node, int]:
    """How many packages of the active subgraph need a node, directly or not; 0 outside that subgraph."""
    dependents: dict[Node, int] = transitive_dependents(active_subgraph(graph, active))
    return {node: dependents[node].bit_count() if node in dependents else 0 for node in graph}


def project_criticality(
    graph: nx.DiGraph[Node], active: Collection[Node], projects: Mapping[Group, Collection[Node]]
) -> dict[Group, int]:
    """Distinct dependents of all repositories of a project: one that needs two of them counts once."""
    dependents: dict[Node, int] = transitive_dependents(active_subgraph(graph, active))
    scores: dict[Group, int] = {}
    for project, members in projects.items():
        union = 0
        for node in members:
            union |= dependents.get(node, 0)
        scores[project] = union.bit_count()
    return scores
