"""A process beside the workers: started again when it ends, ended when nobody wants it any more."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from holdfast.worker import Companion
from holdfast.worker.companion import keep

SAYS_ITS_PID = "import os, signal, sys; os.write(int(sys.argv[1]), f'{os.getpid()}\\n'.encode()); signal.pause()"
DOES_NOT_LISTEN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SAYS_ITS_PID


@asynccontextmanager
async def kept(program: str, *, end_seconds: float = 5.0) -> AsyncIterator[asyncio.StreamReader]:
    """Keep it running; what it says."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
    )
    companion = Companion("api", [sys.executable, "-c", program, str(writing)], (writing,))
    keeping = asyncio.create_task(keep(companion, end_seconds=end_seconds))
    try:
        yield reader
    finally:
        keeping.cancel()
        await asyncio.wait([keeping], timeout=20)
        os.close(writing)
        transport.close()


async def pid_of(reader: asyncio.StreamReader) -> int:
    return int(await asyncio.wait_for(reader.readline(), 20))


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_what_crashes_is_started_again() -> None:
    async with kept(SAYS_ITS_PID) as reader:
        first = await pid_of(reader)
        os.kill(first, signal.SIGKILL)
        second = await pid_of(reader)

    assert first != second
    assert not is_there(first)
    assert not is_there(second)


@pytest.mark.parametrize("program", [SAYS_ITS_PID, DOES_NOT_LISTEN])
async def test_nothing_is_left_of_it_at_the_end(program: str) -> None:
    async with kept(program, end_seconds=0.2) as reader:
        pid = await pid_of(reader)
        assert is_there(pid)

    assert not is_there(pid)
