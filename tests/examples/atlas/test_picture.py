"""The picture: laws of its layout, and that it draws whatever graph comes."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.atlas.layout import essential_edges, place, ring_radius, spanning_parents
from examples.atlas.metrics import criticality
from examples.atlas.picture import Mark, draw

NAMES = st.sampled_from([f"n{number}" for number in range(8)])
GRAPHS = st.lists(st.tuples(NAMES, NAMES).filter(lambda edge: edge[0] != edge[1]), max_size=24)


def scored(edges: list[tuple[str, str]]) -> tuple[nx.DiGraph[str], dict[str, int]]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(f"n{number}" for number in range(8))
    graph.add_edges_from(edges)
    return graph, criticality(graph, list(graph))


@given(GRAPHS)
def test_essential_edges_say_the_same_as_all_edges(edges: list[tuple[str, str]]) -> None:
    graph, scores = scored(edges)
    essential = nx.DiGraph(essential_edges(graph, scores))
    essential.add_nodes_from(graph)

    cycles = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    for part in cycles:  # a cycle is drawn as a chain; close it again to compare
        essential.add_edges_from((one, other) for one in part for other in part if one != other)
    assert {node: nx.descendants(essential, node) for node in graph} == {
        node: nx.descendants(graph, node) for node in graph
    }


@given(GRAPHS)
def test_edges_lead_inwards_and_parents_form_a_forest(edges: list[tuple[str, str]]) -> None:
    graph, scores = scored(edges)
    parents = spanning_parents(essential_edges(graph, scores), scores)

    assert all(ring_radius(scores[node], 8) >= ring_radius(scores[parent], 8) for node, parent in parents.items())
    assert nx.is_forest(nx.Graph(parents.items())) if parents else True
    assert parents.keys() == {node for node in graph if graph.out_degree(node)} - outermost_of_cycles(graph, parents)


def outermost_of_cycles(graph: nx.DiGraph[str], parents: dict[str, str]) -> set[str]:
    """Of a cycle that needs nothing outside itself, one member has to be the root."""
    return {node for part in nx.strongly_connected_components(graph) if len(part) > 1 for node in part} - parents.keys()


@given(GRAPHS)
@settings(max_examples=30)
def test_circles_stay_on_the_disc_and_apart(edges: list[tuple[str, str]]) -> None:
    graph, scores = scored(edges)
    parents = spanning_parents(essential_edges(graph, scores), scores)
    places = place(list(graph), parents, scores, dict.fromkeys(graph, 0.03))

    assert all(math.hypot(*at) < 1.2 for at in places.values())
    assert all(math.dist(places[one], places[other]) > 0.02 for one, other in combinations(graph, 2))


def test_rings_fall_from_the_rim_to_the_centre() -> None:
    radii = [ring_radius(level, 600) for level in (0, 1, 10, 100, 600)]

    assert radii == sorted(radii, reverse=True)
    assert radii[0] == 1.0
    assert 0 < radii[-1] < 0.1


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_graph_of_several_ecosystems_is_drawn(tmp_path: Path, ending: str) -> None:
    marks = [Mark(f"pkg:{kind}/p{n}", f"p{n}", kind, n) for kind in ("deb", "pypi", "npm") for n in range(30)]
    marks.append(Mark("pkg:github/a/b", "b", "github", 0, 3, is_history=True))
    edges = [(f"pkg:deb/p{n}", f"pkg:deb/p{n + 1}") for n in range(29)] + [("pkg:deb/p3", "pkg:deb/p2")]

    target = draw(marks, edges, tmp_path / "deep" / f"graph.{ending}")
    assert target.stat().st_size > 10_000


@pytest.mark.parametrize("count", [1, 2])
def test_a_tiny_graph_is_drawn(tmp_path: Path, count: int) -> None:
    marks = [Mark(f"pkg:pypi/p{n}", f"p{n}", "pypi", 0) for n in range(count)]

    assert draw(marks, [], tmp_path / "graph.png").exists()
