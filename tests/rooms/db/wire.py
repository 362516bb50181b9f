"""A cable between client and server that can be made dead without being cut: packets vanish, nobody is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Wire:
    """Forwards bytes both ways while it is alive."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._alive = asyncio.Event()
        self._alive.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    def die(self) -> None:
        """From now on nothing passes, and nothing is refused either."""
        self._alive.clear()

    def revive(self) -> None:
        """What was held back passes, as after a pulled cable is put back."""
        self._alive.set()

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[Wire]:
        """Listen for the length of a ``with``; ``url`` leads through the wire."""
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        login = self._target.netloc.rpartition("@")[0]
        port = server.sockets[0].getsockname()[1]
        self.url = self._target._replace(netloc=f"{login}@127.0.0.1:{port}").geturl()
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        ways = [(reader, there_writer), (there_reader, writer)]
        for source, sink in ways:
            task = asyncio.create_task(self._one_way(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _one_way(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await source.read(65536):
                    await self._alive.wait()
                    sink.write(data)
                    await sink.drain()
        finally:
            sink.close()
            with suppress(OSError, asyncio.CancelledError):
                await sink.wait_closed()
