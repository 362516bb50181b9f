"""The dependency graph as a map: one disc for each ecosystem, what is needed most in the middle.

matplotlib draws it because its wheels carry everything; Graphviz would need a system package.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.path import Path as Curve

from .labels import FADED, INK, PAPER, NamedCircle, halo, write_names
from .layout import essential_edges, place, ring_radius, spanning_parents

_RING = "#e3e4df"
_COLOURS = {"deb": "#1f6f8b", "pypi": "#d9772b", "github": "#6a4c93", "generic": "#6a4c93"}
_OTHER_COLOURS = ("#4f8a3d", "#b5446e", "#8a6d3b", "#5c6bc0")
_TITLES = {"deb": "Debian packages", "pypi": "Python distributions"}
_LABELS_ON_LARGEST, _LABELS_ON_SMALLER = 64, 40
_MOST_NEEDED = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """One vertex as it is drawn."""

    canonical: str
    name: str
    ecosystem: str
    criticality: int
    pony_factor: int | None = None
    is_history: bool = False


@dataclass(frozen=True, slots=True)
class Disc:
    """One ecosystem with its place on the sheet (figure fractions) and how many names it has room for."""

    ecosystem: str
    marks: list[Mark]
    box: tuple[float, float, float, float]
    labels: int


def draw(marks: Sequence[Mark], edges: Iterable[tuple[str, str]], target: Path) -> Path:
    """Write the map; the ending of ``target`` chooses PNG, SVG or PDF."""
    histories = [mark for mark in marks if mark.is_history]
    packages = {mark.canonical: mark for mark in marks if not mark.is_history}
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(packages)
    graph.add_edges_from((needs, needed) for needs, needed in edges if needs in packages and needed in packages)
    figure = Figure(figsize=(17, 11.6), dpi=140, facecolor=PAPER)
    discs = _discs(packages.values())
    colours = _palette(disc.ecosystem for disc in discs)
    criticality = {canonical: mark.criticality for canonical, mark in packages.items()}
    for disc in discs:
        _draw_disc(figure, disc, graph, criticality, colours[disc.ecosystem])
    _title(figure, packages.values(), graph, histories)
    _legend(figure, discs, colours, histories)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, facecolor=PAPER)
    return target


def _palette(ecosystems: Iterable[str]) -> dict[str, str]:
    spare = iter(_OTHER_COLOURS * 4)
    return {ecosystem: _COLOURS.get(ecosystem) or next(spare) for ecosystem in ecosystems}


def _discs(marks: Iterable[Mark]) -> list[Disc]:
    """The largest ecosystem fills the left of the sheet; the others share the column beside it."""
    by_ecosystem: dict[str, list[Mark]] = {}
    for mark in marks:
        by_ecosystem.setdefault(mark.ecosystem, []).append(mark)
    ranked = sorted(by_ecosystem.items(), key=lambda item: (-len(item[1]), item[0]))
    discs = []
    for position, (ecosystem, members) in enumerate(ranked):
        if position == 0:
            discs.append(Disc(ecosystem, members, (0.005, 0.01, 0.655, 0.93), _LABELS_ON_LARGEST))
        else:
            share = 0.48 / (len(ranked) - 1)
            bottom = 0.45 + share * (len(ranked) - 1 - position)
            discs.append(Disc(ecosystem, members, (0.665, bottom, 0.325, share), _LABELS_ON_SMALLER))
    return discs


def _draw_disc(figure: Figure, disc: Disc, graph: nx.DiGraph[str], criticality: Mapping[str, int], colour: str) -> None:
    axes = figure.add_axes(disc.box)
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-1.09, 1.09)
    axes.set_ylim(-1.09, 1.09)
    own = graph.subgraph(mark.canonical for mark in disc.marks)
    edges = essential_edges(own, criticality)
    parents = spanning_parents(edges, criticality)
    highest = max(mark.criticality for mark in disc.marks)
    radii = {mark.canonical: _radius(mark.criticality, highest, len(disc.marks)) for mark in disc.marks}
    places = place([mark.canonical for mark in disc.marks], parents, criticality, radii)
    _rings(axes, highest)
    thin, strong = (0.13, 0.42) if len(edges) > 300 else (0.3, 0.6)
    _edges(axes, [edge for edge in edges if parents.get(edge[0]) != edge[1]], places, colour, 0.45, thin)
    _edges(axes, list(parents.items()), places, colour, 0.9, strong)
    diameters = [2 * radii[mark.canonical] for mark in disc.marks]
    axes.add_collection(
        EllipseCollection(
            diameters, diameters, [0.0] * len(diameters), units="xy", facecolors=colour, edgecolors=PAPER,
            linewidths=0.6, zorder=3, offsets=[places[mark.canonical] for mark in disc.marks],
            offset_transform=axes.transData,
        )
    )  # fmt: skip
    figure.draw_without_rendering()  # texts can be measured only once the axes know their size
    _ring_names(axes, highest, [*places.values()])
    ranked = sorted(disc.marks, key=lambda mark: (-mark.criticality, mark.canonical))
    circles = [(mark.name, *places[mark.canonical], radii[mark.canonical], mark.criticality) for mark in ranked]
    write_names(axes, [NamedCircle(*circle) for circle in circles], disc.labels)


def _radius(criticality: int, highest: int, count: int) -> float:
    """The area of a circle grows with criticality; few circles may be larger than many."""
    smallest = min(0.016, 0.12 / math.sqrt(count))
    return smallest + (0.056 - smallest) * math.sqrt(criticality / max(highest, 1))


def _rings(axes: Axes, highest: int) -> None:
    axes.add_patch(Circle((0, 0), 1.0, facecolor="#f4f4ef", edgecolor=_RING, linewidth=1.0, zorder=0))
    for order, level in enumerate(_levels(highest)):
        radius = ring_radius(level, highest)
        shade = "#f9f8f4" if order % 2 == 0 else "#f4f4ef"
        axes.add_patch(
            Circle((0, 0), radius, facecolor=shade, edgecolor=_RING, linewidth=0.9, zorder=0.1 + order / 100)
        )


def _levels(highest: int) -> list[int]:
    return [level for level in (1, 3, 10, 30, 100, 300, 1000, 3000) if level < highest * 0.7]


def _ring_names(axes: Axes, highest: int, places: Sequence[tuple[float, float]]) -> None:
    """Write what the rings mean along the direction in which the fewest circles stand."""
    levels = [level for level in (0, *_levels(highest)) if ring_radius(level, highest) > 0.15]
    radii = [ring_radius(level, highest) for level in levels]

    def room(angle: float) -> tuple[float, float]:
        spots = [(radius * math.cos(angle), radius * math.sin(angle)) for radius in radii]
        free = [min((0.12, *(math.dist(spot, place) for place in places))) for spot in spots]
        return min(free), sum(free)

    best = max((math.tau * step / 90 for step in range(90)), key=room)
    for level, radius in zip(levels, radii, strict=True):
        axes.text(
            radius * math.cos(best), radius * math.sin(best), f"{level:,}" if level else "needed by 0",
            fontsize=8, color=FADED, ha="center", va="center", zorder=5, path_effects=[halo()],
        )  # fmt: skip


def _edges(
    axes: Axes,
    edges: list[tuple[str, str]],
    places: Mapping[str, tuple[float, float]],
    colour: str,
    width: float,
    opacity: float,
) -> None:
    """Curves that leave outer circles towards the centre, so that a bundle of them reads as one stream."""
    curves = [_curve(places[needs], places[needed]) for needs, needed in edges]
    axes.add_collection(
        PathCollection(curves, facecolors="none", edgecolors=colour, linewidths=width, alpha=opacity, zorder=1)
    )


def _curve(outer: tuple[float, float], inner: tuple[float, float]) -> Curve:
    middle = (math.hypot(*outer) + math.hypot(*inner)) / 2
    controls = []
    for point in (outer, inner):
        length = math.hypot(*point) or 1.0
        controls.append((point[0] / length * middle, point[1] / length * middle))
    # Near the centre the direction of the inner end means little: let the curve run straight into it.
    if math.hypot(*inner) < 0.15:
        controls[1] = ((controls[0][0] + inner[0]) / 2, (controls[0][1] + inner[1]) / 2)
    return Curve([outer, *controls, inner], [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])


def _title(figure: Figure, marks: Iterable[Mark], graph: nx.DiGraph[str], histories: Sequence[Mark]) -> None:
    counts: dict[str, int] = {}
    for mark in marks:
        counts[mark.ecosystem] = counts.get(mark.ecosystem, 0) + 1
    parts = [
        f"{count:,} {_TITLES.get(name, name)}" for name, count in sorted(counts.items(), key=lambda item: -item[1])
    ]
    if histories:
        parts.append(f"{len(histories)} git {'history' if len(histories) == 1 else 'histories'}")
    figure.text(0.022, 0.958, "What this machine stands on", fontsize=24, color=INK, weight="bold", va="center")
    figure.text(
        0.022, 0.925, f"{graph.number_of_edges():,} dependencies among " + " · ".join(parts),
        fontsize=12.5, color=FADED, va="center",
    )  # fmt: skip


def _legend(figure: Figure, discs: Sequence[Disc], colours: Mapping[str, str], histories: Sequence[Mark]) -> None:
    axes = figure.add_axes((0.675, 0.015, 0.315, 0.42))
    axes.set_axis_off()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 10)
    height = 9.6
    for disc in discs:
        axes.plot(0.25, height, "o", color=colours[disc.ecosystem], markersize=11)
        title = f"{_TITLES.get(disc.ecosystem, disc.ecosystem)} ({len(disc.marks):,})"
        axes.text(0.7, height, title, fontsize=12, color=INK, va="center")
        height -= 0.65
    for line in (
        "Circle: a package. Its area, and how near it stands to the centre,",
        "is its criticality: how many packages need it, directly or not.",
        "Curve: needs what its inner end touches. Strong where that is the",
        "most particular need; needs that others imply are not drawn.",
    ):
        axes.text(0.05, height, line, fontsize=10, color=FADED, va="center")
        height -= 0.5
    height = _most_needed(axes, discs, colours, height - 0.3)
    for mark in histories[: max(0, int(height / 0.7))]:
        axes.plot(0.25, height, "D", color=_COLOURS["github"], markersize=8)
        pony = "no data" if mark.pony_factor is None else str(mark.pony_factor)
        axes.text(0.7, height, f"{mark.name}: git history, pony factor {pony}", fontsize=10.5, color=INK, va="center")
        height -= 0.7


def _most_needed(axes: Axes, discs: Sequence[Disc], colours: Mapping[str, str], height: float) -> float:
    """A bar for each of the most critical packages of the sheet; returns where the next line may stand."""
    marks = [mark for disc in discs for mark in disc.marks]
    ranked = sorted(marks, key=lambda mark: (-mark.criticality, mark.canonical))[:_MOST_NEEDED]
    axes.text(0.05, height, "Most needed", fontsize=11.5, color=INK, weight="bold", va="center")
    for mark in ranked:
        height -= 0.5
        length = 4.6 * mark.criticality / max(ranked[0].criticality, 1)
        axes.text(2.9, height, mark.name, fontsize=10, color=INK, ha="right", va="center")
        axes.barh(height, length, height=0.3, left=3.1, color=colours[mark.ecosystem])
        axes.text(3.25 + length, height, f"{mark.criticality:,}", fontsize=9.5, color=FADED, va="center")
    return height - 0.75
