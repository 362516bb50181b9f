"""What a server's owner writes down for the others: one JSON file that only its owner can read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_type_hints


@dataclass(frozen=True)
class ServerState:
    """Everything needed to find, prove and enter a server. ``pid`` is the postmaster's."""

    data_directory: str
    socket_directory: str
    port: int
    pid: int
    password: str = field(repr=False)
    system_identifier: int
    version: str


_TYPES = get_type_hints(ServerState)


def read_state(path: Path) -> ServerState | None:
    """The state last written, or None where there is none or it makes no sense (it is then made anew)."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values = {name: content[name] for name in _TYPES}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    sound = all(type(values[name]) is expected for name, expected in _TYPES.items())
    return ServerState(**values) if sound else None


def write_state(path: Path, state: ServerState) -> None:
    """Replace the state in one step; the file is private from its first moment."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(state), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
