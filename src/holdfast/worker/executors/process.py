"""``executor="process"``: handlers in child processes, which can be killed.

Children are kept warm and run one attempt at a time. A cancel raises ``Interrupted`` in the handler (SIGTERM) and kills
the child and all its own children when that does not end it; a timeout kills at once. A child that dies by itself, or
runs out of memory, is a loss of that very job: no attempt is used up, and after ``max_losses`` of them the job fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from holdfast.jobs import Job
from holdfast.worker.executors.contract import Call, JobTimeout, WorkDied
from holdfast.worker.executors.engine_side import message_of, read_reply

_GRACE_SECONDS = 3.0
_WATCH_SECONDS = 0.2
_END_SECONDS = 2.0
_REUSABLE = ("done", "snoozed", "raised")
_LENGTH = struct.Struct(">I")


class ProcessExecutor:
    """Runs handlers in children, ``warm`` of which are kept ready."""

    cancellable = True

    def __init__(self, *, warm: int, result_max_bytes: int, grace_seconds: float = _GRACE_SECONDS) -> None:
        """``grace_seconds``: how long an interrupted handler may take to end before its child is killed."""
        self._warm = warm
        self._result_max_bytes = result_max_bytes
        self._grace_seconds = grace_seconds
        self._idle = [_Child() for _ in range(warm)]
        self._running: dict[Job, _Child] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self, call: Call) -> Any:
        """See ``Executor``."""
        child = self._running[call.job] = self._take()
        reusable = False
        try:
            reply = await self._reply(child, call)
            reusable = reply["kind"] in _REUSABLE
            if reply["kind"] == "stopped":
                raise asyncio.CancelledError("the handler was interrupted")
            if reply["kind"] == "out_of_memory":
                raise WorkDied(_out_of_memory(call.task.memory_limit_mib), blamed=True)
            return read_reply(reply)
        finally:
            del self._running[call.job]
            if reusable and len(self._idle) < self._warm:
                self._idle.append(child)
            else:
                self._end(child)

    def ask_to_stop(self, job: Job) -> None:
        """Let the child's view of the job say that it should stop."""
        if child := self._running.get(job):
            child.say({"kind": "should_stop"})

    def interrupt(self, job: Job) -> None:
        """Cancelling the awaiting task does all of it."""

    async def close(self, deadline_seconds: float) -> None:
        """Kill every child."""
        for child in (*self._idle, *self._running.values()):
            self._end(child)
        self._idle.clear()
        if self._ending:
            await asyncio.wait(self._ending, timeout=deadline_seconds)

    async def _reply(self, child: _Child, call: Call) -> Mapping[str, Any]:
        answer = asyncio.ensure_future(child.ask(message_of(call, self._result_max_bytes)))
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # a killed child's is nobody's
        try:
            async with asyncio.timeout(call.timeout_seconds):
                return await asyncio.shield(answer)
        except TimeoutError:
            if answer.done():
                return answer.result()
            raise JobTimeout(f"took longer than {call.timeout_seconds:g} s; its process was killed") from None
        except asyncio.CancelledError:
            child.signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self._grace_seconds):
                    return await asyncio.shield(answer)
            except (TimeoutError, WorkDied):
                raise asyncio.CancelledError("its process was killed") from None

    def _take(self) -> _Child:
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            self._end(child)
        return _Child()

    def _end(self, child: _Child) -> None:
        ending = asyncio.ensure_future(child.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


class _Child:
    """One child process. It dies with this one: by the parent-death signal on Linux, or by the end of its socket."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "holdfast.worker.executors.process_child"),
                    *(str(theirs.fileno()), str(os.getpid())),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the child alone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message; to one that has not been asked anything yet, nothing."""
        if self._streams is not None:
            data = json.dumps(message).encode()
            self._streams[1].write(_LENGTH.pack(len(data)) + data)

    async def ask(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Have it run a call. Raises ``WorkDied`` when it ends instead of answering."""
        if self._streams is None:
            self._streams = await asyncio.open_unix_connection(sock=self._socket)
            self.say({"kind": "path", "path": sys.path})
        reader, _ = self._streams
        reading = asyncio.ensure_future(_read(reader))
        try:
            self.say(message)
            while not reading.done():
                # Its own children may keep the socket open after its end: so its end is looked for as well.
                await asyncio.wait((reading,), timeout=_WATCH_SECONDS)
                if not reading.done() and not self.alive:
                    break
            reply = reading.result() if reading.done() else None
        finally:
            reading.cancel()
        if reply is None:
            raise WorkDied(await self._how_it_ended(), blamed=True)
        return reply

    async def end(self) -> None:
        """Kill it, with all that it has started, and take note of its end."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._streams is not None:
            self._streams[1].close()
        self._socket.close()
        await self._ended()

    async def _ended(self) -> int | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                while self.alive:  # noqa: ASYNC110 - a matter of milliseconds, once in a child's life
                    await asyncio.sleep(0.005)
        return self._process.returncode

    async def _how_it_ended(self) -> str:
        status = await self._ended()
        if status is None:
            return "its process closed the connection"
        if status < 0:
            name = signal.Signals(-status).name
            guess = " (out of memory, perhaps)" if status == -signal.SIGKILL else ""
            return f"its process was killed by {name}{guess}"
        return f"its process exited with {status}"


async def _read(reader: asyncio.StreamReader) -> Mapping[str, Any] | None:
    """The next message; None at the end of the socket."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        reply: Mapping[str, Any] = json.loads(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return reply


def _out_of_memory(limit_mib: int | None) -> str:
    return "it ran out of memory" + (f": its ceiling is {limit_mib} MiB" if limit_mib else "")
