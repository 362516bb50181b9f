"""One life of a worker process: started, registered, heard, watched, and buried."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from holdfast.clock import monotonic
from holdfast.errors import DatabaseUnavailable
from holdfast.leases import Liveness, Station, look_at
from holdfast.telemetry import get_logger
from holdfast.worker.messages import facts_from_message
from holdfast.worker.processes import Child, ChildWatch, StartedChild
from holdfast.worker.supervision import SupervisorOptions

log = get_logger("worker.supervisor")

_WATCH_SECONDS = 0.25
_LAST_WORDS_SECONDS = 5.0


class Ward:
    """One life of the worker process: from its start to its burial."""

    def __init__(
        self, options: SupervisorOptions, station: Station, opened: asyncio.Event, started: StartedChild
    ) -> None:
        self._options = options
        self._station = station
        self._opened = opened
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._liveness: Liveness | None = None
        self._retired = False
        self._watch: ChildWatch | None = None
        self._beats = True
        self._ended_for: str | None = None
        self.said_hello = False
        self.child = Child(started, self._hear)

    @property
    def number(self) -> int | None:
        """The number under which it was known, if it ever had one."""
        liveness = self._liveness
        return liveness.worker if liveness is not None and liveness.registered else None

    def reason(self, status: int) -> str:
        """Why it ended, for people."""
        if self._ended_for is not None:
            return self._ended_for
        return f"its process was killed by signal {-status}" if status < 0 else f"its process exited with {status}"

    async def outlive(self) -> int:
        """Serve and watch it until its end; returns its status."""
        tasks = [asyncio.create_task(self._serve()), asyncio.create_task(self._watch_on())]
        try:
            return await self.child.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=1.0)
            self.child.close()

    async def bury(self) -> None:
        """Declare it dead and begin the rescue; again and again while the database is away."""
        liveness = self._liveness
        if liveness is None or not liveness.registered:
            return
        if self._retired:
            # It gave everything back itself; what it could not, it left to us.
            self._station.observer.begin_rescue(liveness.worker)
            return
        # Its number is let go first: should this process end as well, others see that nobody holds it.
        await liveness.stop()
        while not self._retired:
            try:
                self._retired = await self._station.observer.end(liveness.worker, self.reason(self.child.status or 0))
            except DatabaseUnavailable:
                pass
            except Exception:
                log.exception("the end of worker %d could not be declared; trying again", liveness.worker)
                await asyncio.sleep(1.0)
            await asyncio.sleep(0.02)

    def _hear(self, message: dict[str, Any]) -> None:
        if self._watch is not None:
            self._watch.heard(monotonic())
        if message["type"] == "hello":
            self.said_hello = True
        if message["type"] != "tick":
            self._messages.put_nowait(message)

    async def _serve(self) -> None:
        while True:
            message = await self._messages.get()
            if message["type"] == "hello":
                await self._register(message["facts"])
            elif message["type"] == "bye":
                await self._say_goodbye(float(message["deadline_seconds"]))

    async def _register(self, facts: dict[str, Any]) -> None:
        await self._opened.wait()
        # Known before it is registered: a child that dies meanwhile must not leave a number that beats.
        liveness = self._liveness = Liveness(
            self._station.session,
            self._options.limits,
            on_lost=self._lost,
            on_cut_off=lambda: self.child.send(type="cut_off"),
            on_restored=lambda: None,  # the beat that follows says it
            on_beat=lambda at: self.child.send(type="beat", at=at),
            beat_gate=lambda: self._beats,
        )
        while True:
            sent_at = monotonic()
            try:
                worker = await liveness.register(facts_from_message(facts))
            except DatabaseUnavailable:
                await asyncio.sleep(0.1)
            except Exception:
                log.exception("the worker cannot be registered; trying again")
                await asyncio.sleep(1.0)
            else:
                break
        self._watch = ChildWatch(
            monotonic(),
            silence_seconds=liveness.silence_seconds,
            hung_limit_seconds=self._options.hung_limit_seconds,
        )
        self.child.send(type="registered", worker=worker, silence_seconds=liveness.silence_seconds, at=sent_at)

    async def _say_goodbye(self, deadline_seconds: float) -> None:
        if self._liveness is not None and not self._retired:
            self._retired = await self._liveness.retire("stopped", min(deadline_seconds, _LAST_WORDS_SECONDS))
        self.child.send(type="gone")

    async def _watch_on(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            self.child.reap()
            if self._watch is None or self._retired:
                continue
            finding = self._watch.judge(monotonic(), look_at(self.child.pid))
            if finding.beat is not self._beats:
                self._beats = finding.beat
                log.warning(
                    "beats for worker process %d are %s", self.child.pid, "sent" if finding.beat else "withheld"
                )
            if finding.end is not None:
                self._end(finding.end)

    def _lost(self, reason: str) -> None:
        """The number is over. A worker that can, stops by itself; one that cannot is killed."""
        self._ended_for = self._ended_for or reason
        if not self._beats:
            self._end(reason)
            return
        self.child.send(type="lost", reason=reason)
        asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._end, reason)

    def _end(self, reason: str) -> None:
        if self.child.status is None:
            self._ended_for = self._ended_for or reason
            log.error("worker process %d is killed: %s", self.child.pid, reason)
            self.child.signal(signal.SIGKILL)
