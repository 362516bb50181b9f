"""PostgreSQL without installing it: servers of our own, from a wheel's or the system's programs.

``owned_server`` lives and dies with this process; ``ensure_shared_server`` gives every terminal of a project the
same one, which outlives them all.
"""

from __future__ import annotations

from holdfast.db.embedded.address import ServerAddress
from holdfast.db.embedded.binaries import Binaries, find_binaries
from holdfast.db.embedded.owned import OwnedServer, owned_server
from holdfast.db.embedded.shared import ServerStatus, ensure_shared_server, shared_server_status, stop_shared_server

__all__ = [
    "Binaries",
    "OwnedServer",
    "ServerAddress",
    "ServerStatus",
    "ensure_shared_server",
    "find_binaries",
    "owned_server",
    "shared_server_status",
    "stop_shared_server",
]
