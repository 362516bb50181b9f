"""The formulas: PA-01 to PA-04, F6, F7, and properties against slow, obvious implementations."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.atlas.metrics import (
    active_subgraph,
    adoption,
    criticality,
    percentiles,
    pony_factor,
    pooled_pony_factor,
    project_adoption,
    project_criticality,
)

NODES = st.integers(0, 9)
EDGES = st.lists(st.tuples(NODES, NODES).filter(lambda edge: edge[0] != edge[1]), max_size=30)


def graph_of(*edges: tuple[object, object], nodes: tuple[object, ...] = ()) -> nx.DiGraph[Any]:
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    return graph


def test_a_chain_counts_everybody_above() -> None:
    graph = graph_of(("a", "b"), ("b", "c"))

    assert criticality(graph, ["a", "b", "c"]) == {"a": 0, "b": 1, "c": 2}


def test_a_hub_counts_its_leaves() -> None:
    graph = graph_of(*((leaf, "hub") for leaf in range(7)))

    assert criticality(graph, list(graph))["hub"] == 7


def test_components_are_independent_and_the_isolated_score_zero() -> None:
    graph = graph_of(("a", "b"), ("x", "y"), nodes=("alone",))

    assert criticality(graph, list(graph)) == {"a": 0, "b": 1, "x": 0, "y": 1, "alone": 0}


def test_an_empty_graph_has_no_scores() -> None:
    assert criticality(graph_of(), []) == {}


def test_a_cycle_that_is_reached_is_kept_and_walked_once() -> None:
    graph = graph_of(("root", "a"), ("a", "b"), ("b", "a"), ("b", "below"))

    assert criticality(graph, ["root"]) == {"root": 0, "a": 2, "b": 2, "below": 3}


def test_a_cycle_that_nobody_depends_on_seeds_itself() -> None:
    """F6: without a repository of in-degree 0 the whole component used to score 0."""
    graph = graph_of(("a", "b"), ("b", "a"), ("b", "below"))

    assert criticality(graph, ["a", "b", "below"]) == {"a": 1, "b": 1, "below": 2}


def test_an_active_repository_below_an_inactive_one_seeds_itself() -> None:
    graph = graph_of(("abandoned", "alive"), ("alive", "below"))

    assert criticality(graph, ["alive"]) == {"abandoned": 0, "alive": 0, "below": 1}


def test_an_inactive_middle_is_kept_and_counts() -> None:
    graph = graph_of(("live", "inactive"), ("inactive", "below"))

    assert criticality(graph, ["live"]) == {"live": 0, "inactive": 1, "below": 2}


def test_an_external_node_never_seeds() -> None:
    graph = graph_of(("external", "below"))

    assert criticality(graph, []) == {"external": 0, "below": 0}


def test_the_active_subgraph_is_a_copy_with_attributes() -> None:
    graph = graph_of(("a", "b"))
    graph.edges["a", "b"]["confidence"] = "verified-sbom"

    active = active_subgraph(graph, ["a"])
    assert active.edges["a", "b"]["confidence"] == "verified-sbom"
    active.remove_node("a")
    assert "a" in graph


def test_a_dependent_of_two_repositories_of_a_project_counts_once() -> None:
    """F7: the sum over repositories counted it twice."""
    graph = graph_of(("user", "one"), ("user", "two"), ("other", "two"))

    assert project_criticality(graph, list(graph), {"project": ["one", "two"]}) == {"project": 2}


@given(EDGES, st.sets(NODES))
def test_criticality_equals_brute_force(edges: list[tuple[int, int]], active: set[int]) -> None:
    graph = graph_of(*edges, nodes=tuple(range(10)))
    reached = active.union(*(nx.descendants(graph, seed) for seed in active))
    part = graph.subgraph(reached)

    expected = {node: len(nx.ancestors(part, node)) if node in reached else 0 for node in graph}
    assert criticality(graph, active) == expected


@given(EDGES, st.sets(NODES), st.sets(NODES))
def test_project_criticality_equals_brute_force(
    edges: list[tuple[int, int]], active: set[int], members: set[int]
) -> None:
    graph = graph_of(*edges, nodes=tuple(range(10)))
    part = active_subgraph(graph, active)
    union = set().union(*(nx.ancestors(part, node) for node in members if node in part))

    assert project_criticality(graph, active, {"project": members}) == {"project": len(union)}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([5], 1),
        ([], 0),
        ([0, 0], 0),
        ([5, 5], 1),
        ([1] * 10, 5),
        ([51, 25, 24], 1),
        ([40, 30, 30], 2),
        ([10, -3, 0], 1),
    ],
)
def test_pony_factor(counts: list[int], expected: int) -> None:
    assert pony_factor(counts) == expected


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01])
def test_a_pony_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        pony_factor([1], threshold)


@given(st.lists(st.integers(-5, 100), max_size=30))
def test_pony_factor_is_the_smallest_group_that_reaches_half(counts: list[int]) -> None:
    positive = sorted((count for count in counts if count > 0), reverse=True)
    people = pony_factor(counts)

    assert 2 * sum(positive[:people]) >= sum(positive)
    assert people == 0 or 2 * sum(positive[: people - 1]) < sum(positive)
    assert people <= max(1, (len(positive) + 1) // 2)


def test_people_are_pooled_over_the_repositories_of_a_project() -> None:
    one, two = {"ann": 6, "bob": 5}, {"cid": 6, "bob": 5}

    assert (pony_factor(one.values()), pony_factor(two.values())) == (1, 1)
    assert pooled_pony_factor([one, two]) == 2


def test_a_project_without_histories_has_no_pony_factor() -> None:
    assert pooled_pony_factor([]) is None
    assert pooled_pony_factor([{}]) == 0


@given(st.dictionaries(st.integers(), st.none() | st.integers(0, 8), max_size=30))
def test_percentiles(values: dict[int, float | None]) -> None:
    known = {node: value for node, value in values.items() if value is not None}
    found = percentiles(values)

    expected = {
        node: sum(other < value for other in known.values()) / len(known) * 100 for node, value in known.items()
    }
    assert found == expected
    assert all(0 <= share < 100 for share in found.values())
    assert not found or min(found.values()) == 0


def test_percentiles_of_one_and_of_none() -> None:
    assert percentiles({"only": 12}) == {"only": 0.0}
    assert percentiles({}) == {}
    assert percentiles({"unknown": None}) == {}


def test_adoption_is_the_mean_of_what_is_known() -> None:
    figures: dict[str, dict[str, float | None]] = {
        "a": {"downloads": 10, "stars": 1},
        "b": {"downloads": 20, "stars": None},
        "c": {"downloads": 30, "stars": 1, "forks": 4},
        "d": {},
    }

    assert adoption(figures) == {"a": Decimal("0.00"), "b": Decimal("33.33"), "c": Decimal("22.22"), "d": None}


def test_adoption_rounds_half_up() -> None:
    # Two of sixteen are smaller: 12.5 %; with a second figure at 0 the mean is 6.25, with 1/8 of it at 0.78125.
    figures: dict[int, dict[str, float | None]] = {node: {"stars": node, "forks": 0} for node in range(16)}

    assert adoption(figures)[1] == Decimal("3.13")  # 6.25 / 2 = 3.125


def test_project_adoption_ignores_repositories_without_data() -> None:
    assert project_adoption([Decimal("10.00"), None, Decimal("20.01")]) == Decimal("15.01")
    assert project_adoption([None]) is None
