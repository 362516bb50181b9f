"""The worker process as its supervisor sees it: started so that it cannot outlive it, heard, watched, buried."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from holdfast.clock import monotonic
from holdfast.leases import ProcessLook
from holdfast.worker.messages import Lines, encode

_PR_SET_PDEATHSIG = 1
_MEASURED_OVER_SECONDS = 1.0
# Of one core. A thread that waits for the interpreter's lock wakes up 200 times a second and uses about 0.5 %.
_BUSY_SHARE = 0.05
# Loaded here, because between fork and exec nothing may be loaded any more.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform.startswith("linux") else None

Hear = Callable[[dict[str, Any]], None]


class StartedChild(Struct, frozen=True):
    """A worker process that runs, and the supervisor's end of the socket to it."""

    process: subprocess.Popen[bytes]
    socket: socket.socket


def start_child(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, pass_fds: tuple[int, ...] = ()
) -> StartedChild:
    """Start a worker process, from the main thread; ``--lifeline-fd=N`` is appended to the command.

    It runs in a session of its own, so that Ctrl-C of a terminal reaches only the supervisor, and dies with it: by the
    kernel's parent-death signal on Linux, by the end of the socket everywhere.
    """
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            [*command, f"--lifeline-fd={theirs.fileno()}"],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), *pass_fds),
            env=environment,
            start_new_session=True,
            preexec_fn=tie_to_owner(),  # noqa: PLW1509  (no other threads; nothing is imported or allocated)
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return StartedChild(process, ours)


class Child:
    """A worker process under a supervisor whose event loop runs."""

    def __init__(self, started: StartedChild, hear: Hear) -> None:
        """``hear`` gets its messages, also those that it has sent already."""
        self._process, ours = started.process, started.socket
        ours.setblocking(False)
        self.born_at = monotonic()
        self._socket = ours
        self._lines = Lines()
        self._unsent = b""
        self._hear = hear
        self._exited = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours, self._readable)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status; negative: the signal that ended it; ``None`` while it runs."""
        return self._process.returncode

    def send(self, **message: Any) -> None:
        """Send a message; what a child that does not read cannot take is kept, and lost with it."""
        self._unsent += encode(message)
        self._flush()

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def reap(self) -> None:
        """Look whether it has ended; to be called on SIGCHLD and now and then."""
        if self._process.poll() is not None and not self._exited.is_set():
            self._readable()  # its last words
            self._exited.set()

    async def wait(self) -> int:
        """Wait for its end; returns its status."""
        await self._exited.wait()
        assert self.status is not None  # noqa: S101
        return self.status

    def close(self) -> None:
        """Let go of the socket: the end of a child that is still there."""
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        try:
            while data := self._socket.recv(65536):
                for message in self._lines.feed(data):
                    self._hear(message)
        except BlockingIOError:
            return
        except OSError:
            pass
        self._loop.remove_reader(self._socket)

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._flush)
            return
        except OSError:
            self._unsent = b""
        with contextlib.suppress(OSError, ValueError):
            self._loop.remove_writer(self._socket)


def tie_to_owner() -> Callable[[], None]:
    """For ``preexec_fn``: what a child does between fork and exec.

    The signal comes when the *thread* that started it ends.
    """
    owner = os.getpid()

    def tie() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != owner:  # it died before it could be watched
                os._exit(1)

    return tie


class Finding(Struct, frozen=True):
    """What the supervisor does about its child now: beat for it or not, or end it for this reason."""

    beat: bool
    end: str | None = None


class ChildWatch:
    """Decides whether a child that says nothing is stopped, hung or only busy. Pure: no process, no clock.

    A C call that holds the interpreter silences the child's ticker and still uses the CPU, far more of it than the
    other threads do while they wait for the interpreter. Time in which the supervisor itself did not run counts for
    nobody.
    """

    def __init__(self, at: float, *, silence_seconds: float, hung_limit_seconds: float) -> None:
        self._silence_seconds = silence_seconds
        self._hung_limit_seconds = hung_limit_seconds
        self._quiet_seconds = min(2.0, silence_seconds / 3)
        self._heard_at = self._moved_at = self._judged_at = self._measured_at = at
        self._cpu_seconds = 0.0

    def heard(self, at: float) -> None:
        """The child's ticker spoke."""
        self._heard_at = at

    def judge(self, now: float, look: ProcessLook | None) -> Finding:
        """Judge by one look at the process; ``None``: the platform tells nothing."""
        gap = now - self._judged_at
        self._judged_at = now
        if gap > self._quiet_seconds:
            self._heard_at += gap
            self._moved_at += gap
            self._measured_at = now
        self._measure(now, look)
        silent, idle = now - self._heard_at, now - max(self._moved_at, self._heard_at)
        if silent <= self._quiet_seconds:
            return Finding(beat=True)
        if look is not None and look.stopped:
            end = f"its process was stopped for {silent:.1f} s" if silent > self._silence_seconds else None
            return Finding(beat=False, end=end)
        if idle > self._silence_seconds:
            return Finding(beat=False, end=f"its process hung without using the CPU for {idle:.1f} s")
        if silent > self._hung_limit_seconds:
            return Finding(beat=False, end=f"its process did not answer for {silent:.1f} s")
        return Finding(beat=True)

    def _measure(self, now: float, look: ProcessLook | None) -> None:
        """Has it moved? Measured over a second or more, because the kernel counts in hundredths."""
        if look is None:
            self._moved_at = now
            return
        passed = now - self._measured_at
        if passed >= _MEASURED_OVER_SECONDS:
            if look.cpu_seconds - self._cpu_seconds >= _BUSY_SHARE * passed:
                self._moved_at = now
            self._measured_at, self._cpu_seconds = now, look.cpu_seconds
