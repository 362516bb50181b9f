"""A process beside the workers of a supervisor, the API for example: kept running until the workers have ended."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from collections.abc import Sequence

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.telemetry import emit
from holdfast.worker.processes import tie_to_owner

_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.2, 30.0
_HEALTHY_SECONDS = 60.0


class Companion(Struct, frozen=True):
    """What to keep running: a command, and the sockets that it inherits and that outlive it."""

    name: str
    command: Sequence[str]
    pass_fds: tuple[int, ...] = ()


async def keep(companion: Companion, *, end_seconds: float) -> None:
    """Start it, start it again when it ends by itself; when this is cancelled, end it, by force after a while."""
    failures = 0
    while True:
        born_at = monotonic()
        process = await asyncio.create_subprocess_exec(
            *companion.command,
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=companion.pass_fds,
            start_new_session=True,
            preexec_fn=tie_to_owner(),
        )
        try:
            status = await process.wait()
        except asyncio.CancelledError:
            await _end(process, end_seconds)
            raise
        failures = 1 if monotonic() - born_at >= _HEALTHY_SECONDS else failures + 1
        seconds = min(_FIRST_BACKOFF_SECONDS * 2 ** (failures - 1), _LONGEST_BACKOFF_SECONDS)
        emit("worker.companion.ended", companion=companion.name, status=status, restart_seconds=seconds)
        await asyncio.sleep(seconds * random.uniform(0.75, 1.0))


async def _end(process: asyncio.subprocess.Process, seconds: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            process.kill()
            await process.wait()
