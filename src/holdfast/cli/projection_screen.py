"""Projections, their partitions and their parked streams as tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from holdfast.cli.screen import ago, number, table
from holdfast.events import projections as projecting
from holdfast.jobs import span

_COLORS = {"running": "green", "rebalancing": "green", "paused": "yellow", "retired": "dim"}
_NUMBERS = ("WORKERS", "PARTITIONS", "LAG", "OLDEST", "PARKED")


def projection_table(found: Sequence[projecting.ProjectionInfo]) -> Table:
    """A line per projection."""
    lines = table("PROJECTION", "KIND", "STATE", *_NUMBERS, "MODEL", "", right=_NUMBERS)
    for each in found:
        beside = [f"building {each.building}"] if each.building else []
        beside += [f"kept {each.kept}"] if each.kept else []
        lines.add_row(
            Text(each.name),
            each.kind,
            Text(each.state, style=_COLORS.get(each.state, "red")),
            number(each.workers),
            f"{each.partitions_held}/{projecting.PARTITIONS}",
            number(each.lag_events),
            span(each.lag_seconds),
            Text(number(each.parked), style="red" if each.undecided else ""),
            str(each.model),
            Text(", ".join([*beside, *([each.pause_reason] if each.pause_reason else [])])),
        )
    return lines


def lag_table(found: Sequence[projecting.PartitionLag]) -> Table:
    """A line per partition."""
    numbers = ("PARTITION", "CHECKPOINT", "LAG", "OLDEST", "PARKED")
    lines = table("PROJECTION", "MODEL", *numbers, "HELD BY", "", right=numbers)
    for each in found:
        failing = each.failing
        told = f"fails at {failing['position']}: {failing['error']['message']}" if failing else ""
        lines.add_row(
            Text(each.projection),
            f"{each.model} {each.state}",
            str(each.partition),
            number(each.checkpoint),
            number(each.lag_events),
            span(each.lag_seconds),
            number(each.parked),
            Text(each.owner or "nobody", style="" if each.owner else "red"),
            Text(told, style="red"),
        )
    return lines


def parked_table(found: Sequence[projecting.ParkedStream]) -> Table:
    """A line per stream."""
    numbers = ("POSITION", "ATTEMPTS")
    lines = table("STREAM", *numbers, "PARKED", "AGAIN", "WHY", right=numbers)
    for each in found:
        why = each.reason or (f"{each.error['type']}: {each.error['message']}" if each.error else "")
        lines.add_row(
            Text(each.stream),
            number(each.position),
            number(each.attempts),
            ago(each.parked_at),
            ago(each.retry_at) or Text("a person decides", style="red"),
            Text(why),
        )
    return lines
