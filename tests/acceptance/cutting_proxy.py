"""A TCP proxy that sometimes cuts the line in the middle of an answer: the client never learns what was committed."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class CuttingProxy:
    """In front of a server. ``cuts`` counts the answers that never arrived."""

    def __init__(self, url: str, dice: random.Random, *, one_in: int) -> None:
        self._target = urlsplit(url)
        self._dice = dice
        self._one_in = one_in
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self.cutting = False
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        user = f"{self._target.username}:{self._target.password or ''}@" if self._target.username else ""
        return self._target._replace(netloc=f"{user}127.0.0.1:{port}").geturl()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        try:
            with suppress(OSError):
                await self._carry(reader, writer)
        finally:
            self._lines.discard(line)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(self._target.hostname, self._target.port)
        questions = asyncio.create_task(self._forward(reader, to_there, cut=False))
        answers = asyncio.create_task(self._forward(there, writer, cut=True))
        try:
            await asyncio.wait((questions, answers), return_when=asyncio.FIRST_COMPLETED)
        finally:
            questions.cancel()
            answers.cancel()
            await asyncio.gather(questions, answers, return_exceptions=True)
            to_there.close()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, cut: bool) -> None:
        while data := await source.read(65536):
            if cut and self.cutting and self._dice.randrange(self._one_in) == 0:
                self.cuts += 1
                sink.write(data[: self._dice.randrange(len(data))])
                await sink.drain()
                return
            sink.write(data)
            await sink.drain()
