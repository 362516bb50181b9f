"""A PostgreSQL of the tests' own, when none is named."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.db import embedded

_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@contextmanager
def throwaway_server() -> Iterator[str]:
    """The URL of a server for the length of a ``with``: of the extra ``embedded``, or of programs that are installed.

    It dies with this process and its files go with it; nothing in it outlives a crash, so that tests are fast.
    """
    directory = Path(tempfile.mkdtemp(prefix="holdfast-tests-"))
    directory.chmod(0o711)  # as root, the server runs as somebody else, who must pass through
    try:
        with embedded.owned_server(directory / "server", config=_FORGETFUL, delete_data=True) as server:
            yield server.url
    finally:
        shutil.rmtree(directory, ignore_errors=True)
