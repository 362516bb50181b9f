"""Queues and workers as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from holdfast.cli.screen import ago, number, table
from holdfast.jobs import QueueInfo, span

_NUMBERS = ("READY", "OLDEST", "RUNNING", "BLOCKED", "SCHEDULED", "COMPLETED", "FAILED")


def queue_table(found: Sequence[QueueInfo]) -> Table:
    """A line per queue."""
    lines = table("QUEUE", *_NUMBERS, "", right=_NUMBERS)
    for queue in found:
        ready = number(queue.ready) + ("" if queue.ready_is_exact else "+")
        paused = f"paused {ago(queue.paused_at)}" + (f": {queue.pause_reason}" if queue.pause_reason else "")
        lines.add_row(
            Text(queue.name),
            ready,
            span(queue.oldest_seconds),
            number(queue.running),
            number(queue.blocked),
            number(queue.scheduled),
            number(queue.completed),
            Text(number(queue.failed), style="red" if queue.failed else ""),
            Text(paused if queue.paused_at else "", style="yellow"),
        )
    return lines


def worker_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """A line per worker."""
    lines = table("WORKER", "NAME", "QUEUES", "RUNNING", "WHERE", "STARTED", "", right=("RUNNING",))
    for worker in found:
        live = worker["state"] == "live"
        told = "" if live else f"ended {ago(worker['ended_at'])}: {worker['end_reason']}"
        lines.add_row(
            str(worker["id"]),
            Text(worker["name"] or ""),
            Text(", ".join(worker["queues"])),
            f"{worker['running']}/{worker['concurrency']}" if live else "",
            f"{worker['host']}:{worker['pid']}",
            ago(worker["started_at"]),
            Text(told, style="dim" if worker["end_reason"] == "stopped" else "red"),
        )
    return lines
