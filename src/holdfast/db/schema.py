"""Writes the full schema file: ``python -m holdfast.db.schema [URL] > schema.sql``.

It is made from a freshly migrated database: an empty one at the URL, or else one of an embedded server that lives as
long as it takes.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import asyncpg

from holdfast.db.catalog import describe_schema, render_schema
from holdfast.db.migrator import migrate


async def _migrated_schema(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        await migrate(connection)
        return render_schema(await describe_schema(connection))
    finally:
        await connection.close(timeout=5)


def full_schema(url: str | None = None) -> str:
    """The text of the full schema file, from the empty database at ``url`` or one of an embedded server."""
    if url is not None:
        return asyncio.run(_migrated_schema(url))
    from holdfast.db.embedded import owned_server

    with tempfile.TemporaryDirectory(prefix="holdfast-schema-") as name:
        directory = Path(name)
        # Started by root, the server runs as another account, which has to pass through here.
        directory.chmod(0o711)
        with owned_server(directory / "server", delete_data=True) as server:
            return asyncio.run(_migrated_schema(server.url))


if __name__ == "__main__":
    sys.stdout.write(full_schema(*sys.argv[1:2]))
