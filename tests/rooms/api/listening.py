"""A served API and clients that listen to it, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import uvicorn
from fastapi import FastAPI

from tests.waiting import eventually

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Heard:
    """One event of a stream."""

    event: str
    data: Any
    id: str | None


class Stream:
    """An open stream, as a browser has it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> None:
        self.status = status
        self.heard: list[Heard] = []
        self.ended = asyncio.Event()
        self._reader, self._writer = reader, writer
        self._task = asyncio.create_task(self._read())

    @property
    def last_id(self) -> str | None:
        """What a browser sends when it comes back."""
        return next((one.id for one in reversed(self.heard) if one.id), None)

    def of(self, event: str) -> list[Any]:
        """The data of every event of this name."""
        return [one.data for one in self.heard if one.event == event]

    async def close(self) -> None:
        """Leave."""
        self._task.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        lines: dict[str, str] = {}
        try:
            while line := await self._reader.readline():
                name, colon, value = line.decode().strip().partition(": ")
                if name and colon and name in ("id", "event", "data"):
                    lines[name] = value
                elif not name and "event" in lines:
                    self.heard.append(Heard(lines["event"], json.loads(lines["data"]), lines.get("id")))
                    lines = {}
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.ended.set()


class Served:
    """An API that is served, and its address."""

    def __init__(self, api: FastAPI, server: uvicorn.Server, port: int) -> None:
        self.api, self.server, self.port = api, server, port
        self.streams: list[Stream] = []

    async def listen(self, topics: str, *, last_id: str | None = None, headers: Mapping[str, str] = _NONE) -> Stream:
        """Open a stream; it is open when its status is there."""
        stream = await open_stream(self.port, topics, last_id=last_id, headers=headers)
        self.streams.append(stream)
        return stream


async def open_stream(
    port: int, topics: str, *, last_id: str | None = None, headers: Mapping[str, str] = _NONE
) -> Stream:
    """Open a stream at a port of this machine; it is open when its status is there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = {**headers, **({"Last-Event-ID": last_id} if last_id else {})}
    more = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    head = f"GET /api/v1/stream?topics={topics} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    writer.write(f"{head}{more}\r\n".encode())
    status = int((await reader.readline()).split()[1])
    while (await reader.readline()).strip():
        pass
    return Stream(reader, writer, status)


@contextlib.asynccontextmanager
async def served(api: FastAPI) -> AsyncIterator[Served]:
    """Serve it on a free port of this machine, until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api, log_config=None, access_log=False, timeout_graceful_shutdown=5))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    await eventually(lambda: server.started)
    here = Served(api, server, listening.getsockname()[1])
    try:
        yield here
    finally:
        for stream in here.streams:
            await stream.close()
        server.should_exit = True
        await asyncio.wait_for(serving, 15)
