"""How a running server is entered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from holdfast.db.embedded.probe import DATABASE, SUPERUSER
from holdfast.db.embedded.state import ServerState


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens and what it is. ``url`` holds the password, so it is left out of the repr."""

    url: str = field(repr=False)
    socket_url: str = field(repr=False)
    socket_dir: Path
    port: int
    data_dir: Path
    version: str
    postmaster_pid: int


def address_of(state: ServerState) -> ServerAddress:
    """The address that a state describes."""
    login = f"{SUPERUSER}:{state.password}"
    return ServerAddress(
        url=f"postgresql://{login}@127.0.0.1:{state.port}/{DATABASE}",
        socket_url=f"postgresql://{login}@/{DATABASE}?host={quote(state.socket_directory)}&port={state.port}",
        socket_dir=Path(state.socket_directory),
        port=state.port,
        data_dir=Path(state.data_directory),
        version=state.version,
        postmaster_pid=state.pid,
    )
