"""Names beside circles: the most critical always get theirs, the others where a free spot is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.text import Text

PAPER, INK, FADED = "#fcfbf8", "#22303c", "#7a8791"
_ALWAYS_NAMED = 24
_TOLERATED_COVER = 0.06
# So few circles leave room for the names of those that nobody needs: the applications.
_FEW = 150

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class NamedCircle:
    """A circle that stands already, in data coordinates."""

    name: str
    x: float
    y: float
    radius: float
    weight: int

    def box(self) -> Box:
        """A square a little smaller than the circle, since names may touch its rim."""
        half = self.radius * 0.85
        return self.x - half, self.y - half, self.x + half, self.y + half


def halo() -> patheffects.AbstractPathEffect:
    """A rim in the colour of the paper, so that a name stays legible on lines."""
    return patheffects.withStroke(linewidth=2.6, foreground=PAPER, alpha=0.9)


def write_names(axes: Axes, ranked: Sequence[NamedCircle], room_for: int) -> None:
    """Write up to ``room_for`` names, in the order given (most critical first)."""
    circles = [circle.box() for circle in ranked]
    heaviest = max((circle.weight for circle in ranked), default=1) or 1
    taken: list[Box] = []
    for rank, circle in enumerate(ranked):
        if len(taken) >= room_for or (circle.weight == 0 and len(ranked) > _FEW):
            return
        size = 7.2 + 4.3 * math.sqrt(circle.weight / heaviest)
        if rank < _ALWAYS_NAMED and _inside(axes, circle, size, taken):
            continue
        others = circles[:rank] + circles[rank + 1 :]
        _beside(axes, circle, size, taken, others, forced=rank < _ALWAYS_NAMED)


def _inside(axes: Axes, circle: NamedCircle, size: float, taken: list[Box]) -> bool:
    text = axes.text(
        circle.x, circle.y, circle.name, fontsize=size, color=PAPER, ha="center", va="center", zorder=6, weight="bold"
    )
    box = _extent(axes, text)
    for _ in range(4):
        if box[2] - box[0] <= 1.85 * circle.radius:
            taken.append(box)
            return True
        size -= 1
        if size < 7:
            break
        text.set_fontsize(size)
        box = _extent(axes, text)
    text.remove()
    return False


def _beside(
    axes: Axes, circle: NamedCircle, size: float, taken: list[Box], others: Sequence[Box], *, forced: bool
) -> None:
    """Take the spot that covers least; names never cover each other, circles hardly."""
    text = axes.text(0, 0, circle.name, fontsize=size, color=INK, va="center", zorder=6, path_effects=[halo()])
    left, bottom, right, top = _extent(axes, text)
    width, height = right - left, top - bottom
    best: tuple[float, float, Box] | None = None
    for preference, (x, y) in enumerate(_spots(circle, width, height)):
        box = (x, y - height / 2, x + width, y + height / 2)
        # An upright box around a name is taller than its letters; names may stand close above each other.
        if any(_shared(box, other) > 0.04 * width * height for other in taken) or not _on_sheet(box):
            continue
        covered = sum(_shared(box, other) for other in others) / (width * height)
        if best is None or (covered, preference) < best[:2]:
            best = (covered, preference, box)
    if best is None or (best[0] > _TOLERATED_COVER and not forced):
        text.remove()
        return
    text.set_position((best[2][0], (best[2][1] + best[2][3]) / 2))
    taken.append(best[2])


def _spots(circle: NamedCircle, width: float, height: float) -> list[tuple[float, float]]:
    """Left end and middle height of the name: outward side first, then inward, above, below and the corners."""
    gap = circle.radius + 0.007
    right, left, middle = circle.x + gap, circle.x - gap - width, circle.x - width / 2
    up, down = circle.y + gap + height * 0.4, circle.y - gap - height * 0.4
    slope = circle.radius * 0.75 + height * 0.35
    sides = [(right, circle.y), (left, circle.y)] if circle.x >= 0 else [(left, circle.y), (right, circle.y)]
    corners = [(x, circle.y + rise) for rise in (slope, -slope) for x in (right - gap * 0.3, left + gap * 0.3)]
    return [*sides, (middle, up), (middle, down), *corners]


def _extent(axes: Axes, text: Text) -> Box:
    box = text.get_window_extent().transformed(axes.transData.inverted())
    return float(box.x0), float(box.y0), float(box.x1), float(box.y1)


def _on_sheet(box: Box) -> bool:
    return box[0] > -1.09 and box[2] < 1.09


def _shared(one: Box, other: Box) -> float:
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0
