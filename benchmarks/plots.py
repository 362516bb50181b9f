"""The records as pictures: one per measure, and one that shows all of them on a page."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from benchmarks.results import Record, number
from benchmarks.systems import MEASURES, SYSTEMS

INK, FAINT, PAPER = "#1f2933", "#7b8794", "#ffffff"
OURS, RAW, PEER, REDIS = "#0b6e4f", "#9aa5b1", "#5b8db8", "#c98b5a"
LEGEND = ((OURS, "Holdfast"), (RAW, "raw SQL, no framework"), (PEER, "peers on PostgreSQL"), (REDIS, "peers on Redis"))
# Beyond this factor between best and worst, short bars could not be compared on a linear scale.
LOGARITHMIC_FROM = 25.0
TITLES = {
    **{name: measure.title for name, measure in MEASURES.items()},
    "latency_p50": "Idle latency p50, enqueue to handler start",
    "latency_p99": "Idle latency p99, enqueue to handler start",
}


def draw(records: list[Record], folder: Path, stem: str) -> list[Path]:
    """Write SVG and PNG of every measure that has figures, and of the overview; returns what was written."""
    # No display, no window.
    mpl.use("Agg")
    plt.rcParams.update(
        {"font.family": ["Inter", "Helvetica Neue", "Arial", "DejaVu Sans"], "svg.fonttype": "path", "text.color": INK}
    )
    logging.getLogger("matplotlib.font_manager").setLevel("ERROR")
    folder.mkdir(parents=True, exist_ok=True)
    measured = {title: _of(records, title) for title in TITLES if _of(records, title)}
    written = []
    for measure, group in measured.items():
        figure, axes = plt.subplots(figsize=(9, 1.5 + 0.42 * len(group)), layout="constrained")
        _bars(axes, group, TITLES[measure])
        _legend(figure, group)
        written += _save(figure, folder / f"{stem}-{measure}")
    if len(measured) > 1:
        written += _save(_overview(measured), folder / f"{stem}-overview")
    return written


def _overview(measured: dict[str, list[Record]]) -> Figure:
    columns = 2
    rows = math.ceil(len(measured) / columns)
    tallest = max(len(group) for group in measured.values())
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(15, rows * (1.3 + 0.34 * tallest)),
        layout=ConstrainedLayoutEngine(w_pad=0.25, h_pad=0.2),
        squeeze=False,
    )
    for axes in grid.flat[len(measured) :]:
        axes.set_axis_off()
    for axes, (measure, group) in zip(grid.flat, measured.items(), strict=False):
        _bars(axes, group, TITLES[measure], rows=tallest)
    _legend(figure, [record for group in measured.values() for record in group])
    return figure


def _of(records: list[Record], measure: str) -> list[Record]:
    group = [record for record in records if record.measure == measure and record.value is not None]
    less_is_better = group and group[0].unit == "ms"
    return sorted(group, key=lambda record: (record.value or 0.0) * (-1 if less_is_better else 1))


def _bars(axes: Axes, group: list[Record], title: str, rows: int = 0) -> None:
    """Best on top. The whisker spans all rounds; the label stands beyond it."""
    values = [record.value or 0.0 for record in group]
    positions = range(len(group))
    logarithmic = max(values) / max(min(values), 1e-9) > LOGARITHMIC_FROM
    axes.barh(positions, values, height=0.66, color=[_colour(record.system) for record in group], zorder=2)
    below = [value - record.low for value, record in zip(values, group, strict=True)]
    above = [record.high - value for value, record in zip(values, group, strict=True)]
    if any(len(record.rounds) > 1 for record in group):
        axes.errorbar(
            values, positions, xerr=(below, above), fmt="none", ecolor=INK, elinewidth=1, capsize=2.5, zorder=3
        )
    if logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(10 ** math.floor(math.log10(min(record.low for record in group)) - 0.05), None)
    farthest = max(record.high for record in group)
    for position, record in zip(positions, group, strict=True):
        place = record.high * 1.06 if logarithmic else record.high + 0.012 * farthest
        axes.text(place, position, _label(record), va="center", fontsize=9.5, color=INK, zorder=4)
    left, _ = axes.get_xlim()
    axes.set_xlim(left, farthest * (farthest / left) ** 0.34 if logarithmic else farthest * 1.3)
    _dress(axes, group, title, rows, logarithmic=logarithmic)


def _label(record: Record) -> str:
    text = number(record.value or 0.0)
    if record.ratio_to_raw is not None and record.system != "raw" and record.unit != "ms":
        text += f"   {record.ratio_to_raw:.0%} of raw" if record.ratio_to_raw >= 0.01 else "   under 1% of raw"
    return text


def _dress(axes: Axes, group: list[Record], title: str, rows: int, *, logarithmic: bool) -> None:
    axes.set_yticks(range(len(group)), [record.system for record in group], fontsize=10.5, color=INK)
    for tick, record in zip(axes.get_yticklabels(), group, strict=True):
        tick.set_fontweight("bold" if record.system == "holdfast" else "normal")
    axes.set_title(title, loc="left", fontsize=12.5, fontweight="bold", color=INK, pad=18)
    better = "lower is better" if group[0].unit == "ms" else "higher is better"
    unit = "milliseconds" if group[0].unit == "ms" else "jobs per second"
    scale = ", logarithmic scale" if logarithmic else ""
    axes.text(0, 1.015, f"{unit}{scale}; {better}", transform=axes.transAxes, fontsize=9, color=FAINT, va="bottom")
    axes.xaxis.set_major_formatter(lambda value, _: number(value))
    axes.tick_params(axis="x", colors=FAINT, labelsize=8.5, length=0)
    axes.tick_params(axis="x", which="minor", length=0)
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8, zorder=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color("#cbd2d9")
    # The same thickness everywhere, however many bars there are.
    axes.set_ylim(len(group) - max(rows, len(group)) - 0.6, len(group) - 0.4)


def _colour(system: str) -> str:
    if system in ("holdfast", "raw"):
        return OURS if system == "holdfast" else RAW
    return REDIS if SYSTEMS[system].store == "redis" else PEER


def _legend(figure: Figure, group: list[Record]) -> None:
    present = {_colour(record.system) for record in group}
    entries = [(colour, title) for colour, title in LEGEND if colour in present]
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour, _ in entries]
    legend = figure.legend(
        handles,
        [title for _, title in entries],
        loc="outside lower left",
        ncols=len(entries),
        frameon=False,
        fontsize=9,
    )
    for text in legend.get_texts():
        text.set_color(FAINT)


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_suffix(suffix) for suffix in (".svg", ".png")]
    for path in paths:
        figure.savefig(path, dpi=150, facecolor=PAPER, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
    return paths
