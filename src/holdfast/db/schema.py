"""Writes the full schema file: ``python -m holdfast.db.schema [URL] > schema.sql``.

It is made from a freshly migrated database: an empty one at the URL, or else one of an embedded server that lives as
long as it takes.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
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


def main(arguments: Sequence[str]) -> None:
    """Write the schema file to standard output."""
    if arguments:
        sys.stdout.write(asyncio.run(_migrated_schema(arguments[0])))
        return
    from holdfast.db.embedded import owned_server

    with tempfile.TemporaryDirectory(prefix="holdfast-schema-") as name:
        directory = Path(name)
        # Started by root, the server runs as another account, which has to pass through here.
        directory.chmod(0o711)
        with owned_server(directory / "server", delete_data=True) as server:
            schema = asyncio.run(_migrated_schema(server.url))
    sys.stdout.write(schema)


if __name__ == "__main__":
    main(sys.argv[1:])
