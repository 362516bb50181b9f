"""Choosing a TCP port on the loopback interface."""

from __future__ import annotations

import secrets
import socket

# Below the range that the system hands to outgoing connections, so that a stopped server's port stays free.
_FIRST, _LAST = 15433, 29999


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as candidate:
        # As PostgreSQL does it: connections that linger after a restart do not make the port taken.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
            candidate.listen(1)
        except OSError:
            return False
    return True


def free_port() -> int:
    """A free port, at random so that concurrent starters rarely meet."""
    while True:
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port_is_free(port):
            return port
