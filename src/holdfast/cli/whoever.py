"""Who sits at the terminal, as others read it later."""

from __future__ import annotations

import getpass
import socket


def who() -> str:
    """Whom to ask about what was done here: ``ada@laptop``."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError, ImportError):  # an account without a name, as in some containers
        return socket.gethostname()
