"""Events and the state of the log, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from holdfast.cli.screen import ago, number, screen, table
from holdfast.events import LogState, RecordedEvent

_DATA_SHOWN = 80


def event_lines(event: RecordedEvent) -> dict[str, Any]:
    """An event as data for programs; what was not said about it is left out."""
    always = ("position", "stream", "version", "type", "schema_version", "recorded_at", "data")
    sometimes = ("tags", "metadata", "correlation_id", "causation_id", "trace")
    return {
        "id": str(event.id),
        **{name: getattr(event, name) for name in always},
        **{name: value for name in sometimes if (value := getattr(event, name))},
    }


def event_table(found: Sequence[RecordedEvent]) -> Table:
    """A line per event."""
    lines = table("POSITION", "STREAM", "VERSION", "TYPE", "WHEN", "DATA", right=("POSITION", "VERSION"))
    for event in found:
        data = msgspec.json.encode(event.data).decode()
        shown = data if len(data) <= _DATA_SHOWN else data[: _DATA_SHOWN - 1] + "…"
        lines.add_row(
            str(event.position),
            Text(event.stream),
            str(event.version),
            Text(event.type),
            ago(event.recorded_at),
            Text(shown),
        )
    return lines


def show_state(state: LogState) -> None:
    """The verdict first, then the figures, then who holds readers back."""
    if state.behind:
        screen.write("BEHIND  appends are refused: the sequence is behind the log")
        screen.say("remedy: if this database was restored, `holdfast event adopt --yes`")
    elif state.settled < state.drawn:
        screen.write(f"WAITING  {number(state.drawn - state.settled)} positions are not settled yet")
    else:
        screen.write("SETTLED  readers see everything")
    screen.say(f"settled {state.settled} ({ago(state.settled_at) or 'never'}), drawn {state.drawn}")
    for holder in state.stalled_by:
        screen.say(f"open append: {holder}")
