"""A load balancer in front of several API processes, as simple as they come: each request goes to the next one.

It asks the server to close after every answer, so that a kept connection cannot tie a browser to one process.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_CHUNK = 65_536


class Balancer:
    """Hands requests round; ``served`` counts them by address."""

    def __init__(self, urls: Sequence[str], prefix: str = "") -> None:
        self.served = dict.fromkeys(urls, 0)
        self.url = ""
        self._turns = itertools.cycle(urls)
        self._gone: set[str] = set()
        self._prefix = prefix.encode()

    def leave_out(self, url: str) -> None:
        """Send nothing there any more: its process is about to end."""
        self._gone.add(url)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a browser: one request."""
        server_writer: asyncio.StreamWriter | None = None
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            url = next(url for url in self._turns if url not in self._gone)
            self.served[url] += 1
            place = urlsplit(url)
            server_reader, server_writer = await asyncio.open_connection(place.hostname, place.port)
            server_writer.write(closing(without(self._prefix, head)))
            upward = asyncio.create_task(_pump(reader, server_writer))
            await _pump(server_reader, writer)
            upward.cancel()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the browser left, or a server did: either sees its connection close
        finally:
            for end in (server_writer, writer):
                if end is not None:
                    end.close()


def without(prefix: bytes, head: bytes) -> bytes:
    """The head of a request with the prefix taken off its path, as a proxy in front of several sites does."""
    method, address, rest = head.split(b" ", 2)
    return b" ".join([method, address.removeprefix(prefix) or b"/", rest])


def closing(head: bytes) -> bytes:
    """The head of a request that asks for the connection to be closed afterwards."""
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def balancing(urls: Sequence[str], prefix: str = "") -> AsyncIterator[Balancer]:
    """A balancer that runs while the block does; it takes ``prefix`` off every address."""
    balancer = Balancer(urls, prefix)
    server = await asyncio.start_server(balancer.handle, "127.0.0.1", 0)
    balancer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield balancer
    finally:
        server.close()
