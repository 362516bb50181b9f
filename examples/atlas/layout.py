"""Where the packages of one ecosystem stand on a disc.

Criticality is the radius: the more packages need one, the nearer it stands to the centre. Whoever needs a package has
a smaller criticality than it, so every edge leads inwards and the rings read like contour lines on a map. The angle
comes from a spanning tree: each package stands in the sector of the least needed (most particular) thing it needs.
(A force-directed drawing of the same graph was tried first: libc alone pulls 600 packages into one ball.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import networkx as nx
import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.float64]
_RELAXATION_STEPS = 80
_GAP = 0.004


def ring_radius(criticality: int, highest: int) -> float:
    """From 1 for what nobody needs towards 0 for what is needed most: a logarithm, bent to leave the middle room."""
    share = math.log1p(criticality) / math.log1p(max(highest, 1))
    return 1.0 - 0.97 * math.pow(share, 1.3)


def essential_edges(graph: nx.DiGraph[str], criticality: Mapping[str, int]) -> list[tuple[str, str]]:
    """Edges that no path of others implies; a cycle is kept as a chain of its members."""
    condensed: nx.DiGraph[int] = nx.condensation(graph)
    members = {
        component: sorted(condensed.nodes[component]["members"], key=lambda node: (-criticality[node], node))
        for component in condensed
    }
    edges = [
        (_closest(graph, members[needs], members[needed]), members[needed][0])
        for needs, needed in nx.transitive_reduction(condensed).edges
    ]
    return edges + [edge for chain in members.values() for edge in zip(chain[1:], chain, strict=False)]


def _closest(graph: nx.DiGraph[str], needs: list[str], needed: list[str]) -> str:
    return next(node for node in needs if any(graph.has_edge(node, other) for other in needed))


def spanning_parents(edges: list[tuple[str, str]], criticality: Mapping[str, int]) -> dict[str, str]:
    """For each package the least needed of the things it needs: its place in the tree."""
    parents: dict[str, str] = {}
    for node, needed in sorted(edges):
        known = parents.get(node)
        if known is None or (criticality[needed], needed) < (criticality[known], known):
            parents[node] = needed
    return parents


def place(
    nodes: list[str], parents: Mapping[str, str], criticality: Mapping[str, int], radii: Mapping[str, float]
) -> dict[str, tuple[float, float]]:
    """Positions on the unit disc, in which no two circles of the given radii overlap much."""
    highest = max((criticality[node] for node in nodes), default=1)
    angles = _angles(nodes, parents)
    distance = np.array([ring_radius(criticality[node], highest) for node in nodes])
    # Members of a cycle share angle and radius; without a hint of a difference nothing could push them apart.
    angle = np.array([angles[node] + position * 1e-6 for position, node in enumerate(nodes)])
    start = np.column_stack([distance * np.cos(angle), distance * np.sin(angle)])
    final = _spread(start, distance, np.array([radii[node] for node in nodes]))
    return {node: (float(final[index, 0]), float(final[index, 1])) for index, node in enumerate(nodes)}


def _angles(nodes: list[str], parents: Mapping[str, str]) -> dict[str, float]:
    """Each subtree gets a sector as wide as it has leaves; heavy and light ones alternate to even out the disc."""
    children: dict[str | None, list[str]] = {}
    for node in nodes:
        children.setdefault(parents.get(node), []).append(node)
    leaves: dict[str, float] = {}
    order: list[str] = []
    stack = list(children.get(None, ()))
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(children.get(node, ()))
    for node in reversed(order):
        alone = node not in parents and node not in children
        leaves[node] = 0.5 if alone else max(1.0, sum(leaves[child] for child in children.get(node, ())))
    angles: dict[str, float] = {}
    pending: list[tuple[str | None, float, float]] = [(None, math.pi / 2, math.pi / 2 + math.tau)]
    while pending:
        parent, left, right = pending.pop()
        group = _alternating(sorted(children.get(parent, ()), key=lambda node: (-leaves[node], node)))
        width = (right - left) / max(0.5, sum(leaves[node] for node in group))
        for node in group:
            angles[node] = left + width * leaves[node] / 2
            pending.append((node, left, left + width * leaves[node]))
            left += width * leaves[node]
    return angles


def _alternating(ordered: list[str]) -> list[str]:
    return ordered[::2] + ordered[1::2][::-1]


def _spread(start: Positions, distance: NDArray[np.float64], radii: NDArray[np.float64]) -> Positions:
    """Push overlapping circles apart, the smaller one further, pull each back towards its ring."""
    x, y = start[:, 0].copy(), start[:, 1].copy()
    wanted = radii[:, None] + radii[None, :] + _GAP
    np.fill_diagonal(wanted, 0.0)
    weight = 0.6 * radii[None, :] ** 2 / (radii[:, None] ** 2 + radii[None, :] ** 2)
    for _ in range(_RELAXATION_STEPS):
        across, along = x[:, None] - x[None, :], y[:, None] - y[None, :]
        gap = np.hypot(across, along) + 1e-9
        overlap = np.clip(wanted - gap, 0.0, None)
        if overlap.max() < _GAP / 2:
            break
        overlap *= weight / gap
        x += (across * overlap).sum(axis=1)
        y += (along * overlap).sum(axis=1)
        length = np.hypot(x, y) + 1e-9
        back = 1 + 0.2 * (distance - length) / length
        x, y = x * back, y * back
    return np.column_stack([x, y])
