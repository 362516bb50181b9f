"""The worker process's end of the socket to its supervisor, which beats for it."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from holdfast.clock import monotonic
from holdfast.leases import Standing, State, WorkerFacts
from holdfast.telemetry import get_logger
from holdfast.worker.lifeline import Callbacks
from holdfast.worker.messages import Lines, encode, facts_to_message

log = get_logger("worker")

TICK_SECONDS = 0.5
ORPHANED_STATUS = 70


class PipeLifeline:
    """A lifeline to the supervisor that started this process; implements ``Lifeline``.

    When the supervisor ends, this process ends at once: nobody beats for it any more. A supervisor that falls silent
    (stopped, say) is noticed by the beats it no longer reports, before others take this worker for dead.
    """

    def __init__(self, fd: int) -> None:
        """``fd`` is the number that the supervisor gave as ``--lifeline-fd``."""
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._callbacks = Callbacks()
        self._sending = threading.Lock()
        self._unsent = b""
        self._lines = Lines()
        self._standing: Standing | None = None
        self._registered: Future[int] = Future()
        self._gone: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._judge_seconds = TICK_SECONDS

    def set_callbacks(
        self,
        *,
        on_lost: Callable[[str], None],
        on_cut_off: Callable[[], None],
        on_restored: Callable[[], None],
    ) -> None:
        """See ``Lifeline``."""
        self._callbacks.set(on_lost=on_lost, on_cut_off=on_cut_off, on_restored=on_restored)

    async def start(self, facts: WorkerFacts) -> int:
        """Say hello; comes back with the number once the supervisor reached the database, however long that takes."""
        if self._thread is not None:
            raise RuntimeError("a lifeline is started once")
        self._callbacks.bind()
        self._send(type="hello", facts=facts_to_message(facts))
        self._thread = threading.Thread(target=self._run, name="holdfast-lifeline", daemon=True)
        self._thread.start()
        return await asyncio.shield(asyncio.wrap_future(self._registered))

    def may_work(self) -> bool:
        """See ``Lifeline``."""
        standing = self._standing
        return standing is not None and not self._closing and standing.may_work(monotonic())

    async def close(self, deadline_seconds: float) -> None:
        """Have the supervisor declare this worker's end, within the deadline."""
        self._closing = True
        if self._thread is None:
            return
        self._send(type="bye", deadline_seconds=max(deadline_seconds, 0.0))
        await asyncio.wait([asyncio.ensure_future(asyncio.wrap_future(self._gone))], timeout=max(deadline_seconds, 0.0))

    def _run(self) -> None:
        tick_at = monotonic()
        while True:
            # Before reading: what the supervisor said before a pause may be old news.
            self._judge()
            now = monotonic()
            if now >= tick_at:
                tick_at = now + TICK_SECONDS
                self._send(type="tick")
            readable, _, _ = select.select([self._socket], [], [], min(max(tick_at - now, 0.0), self._judge_seconds))
            if readable and not self._read():
                # Not sys.exit: the supervisor is gone, others may run these jobs any moment now.
                os._exit(ORPHANED_STATUS)

    def _read(self) -> bool:
        """Take in what the supervisor said; false: it is gone."""
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return True
        except OSError:
            return False
        for message in self._lines.feed(data):
            try:
                self._heed(message)
            except Exception:
                log.exception("a message of the supervisor was not understood")
        return bool(data)

    def _heed(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "registered":
            silence = float(message["silence_seconds"])
            # The supervisor tells of every beat; late news first stop the work, before anybody else takes it over.
            self._standing = Standing(silence_seconds=silence, grace_seconds=silence, cut_off_seconds=silence * 0.9)
            self._standing.begin(float(message["at"]))
            # Several times between being cut off and being lost.
            self._judge_seconds = min(TICK_SECONDS, silence * 0.02)
            if not self._registered.done():
                self._registered.set_result(int(message["worker"]))
        elif kind == "gone":
            if not self._gone.done():
                self._gone.set_result(None)
        elif self._standing is not None:
            self._change(self._standing, lambda standing: _apply(standing, message))

    def _judge(self) -> None:
        if self._standing is not None:
            self._change(self._standing, lambda standing: standing.tick(monotonic()))

    def _change(self, standing: Standing, act: Callable[[Standing], None]) -> None:
        before = standing.state
        act(standing)
        if standing.state is before:
            return
        log.warning("this worker is %s: %s", standing.state.value, standing.reason)
        if standing.state is State.LOST:
            self._callbacks.lost(standing.reason)
        elif standing.state is State.CUT_OFF:
            self._callbacks.cut_off()
        else:
            self._callbacks.restored()

    def _send(self, **message: Any) -> None:
        """Send without waiting: a supervisor that does not read must not stop the worker."""
        with self._sending:
            if message["type"] != "tick" or not self._unsent:
                self._unsent += encode(message)
            try:
                while self._unsent:
                    self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except BlockingIOError:
                pass
            except OSError:
                self._unsent = b""  # the reading side notices


def _apply(standing: Standing, message: dict[str, Any]) -> None:
    if message["type"] == "beat":
        standing.beaten(float(message["at"]), monotonic())
    elif message["type"] == "cut_off":
        standing.cut_off("the supervisor cannot reach the database")
    elif message["type"] == "lost":
        standing.refused(str(message["reason"]))
