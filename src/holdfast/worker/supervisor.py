"""The small process that starts a worker process, beats for it, watches it and all others, and buries it.

A thread of the worker could not do this: a C call that holds the interpreter stops every thread (F17).
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.clock import monotonic
from holdfast.errors import DatabaseUnavailable
from holdfast.leases import Limits, Liveness, Rescue, Station, look_at
from holdfast.telemetry import emit, get_logger
from holdfast.worker.lifeline import rescuing
from holdfast.worker.messages import facts_from_message
from holdfast.worker.processes import Child, ChildWatch

log = get_logger("worker.supervisor")

_WATCH_SECONDS = 0.25
_OPEN_SECONDS = 10.0
_LAST_WORDS_SECONDS = 5.0
_BURIAL_SECONDS = 3.0
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.1, 30.0
_CRASHES_TO_SAY_LOUDLY = 3


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """What a supervisor is told. ``child`` is the command; ``--lifeline-fd=N`` is appended to it."""

    url: str = field(repr=False)
    child: Sequence[str]
    direct_url: str | None = field(default=None, repr=False)
    pooled: bool | None = None
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    max_losses: int = 3
    rescue: Rescue | None = None
    restart: bool = True
    """False: a worker that exits by itself is done (drain); one that a signal killed is started again all the same."""
    max_runtime_seconds: float | None = None
    """After so long the worker is stopped in order, as by a signal."""
    shutdown_hard_seconds: float = 25.0
    hung_limit_seconds: float = 600.0
    healthy_seconds: float = 60.0


class Supervisor:
    """Keeps one worker process running until it is told to stop, or the process is done."""

    def __init__(self, options: SupervisorOptions) -> None:
        self._options = options
        self._station = Station(
            options.url,
            direct_url=options.direct_url,
            pooled=options.pooled,
            limits=options.limits,
            rescue=options.rescue or rescuing(options.max_losses),
        )
        self._opened = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop_signals = 0
        self._ward: _Ward | None = None
        self._registered_once = False
        self.workers: list[int] = []
        """The numbers under which its worker process was known, one a life."""
        self.out_of_time = False
        self._crashes = 0
        self._burials: set[asyncio.Task[None]] = set()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop, by a signal or because its time was over."""
        return self._stopping.is_set()

    def run(self) -> int:
        """Run until the end; returns the exit status of the worker process. Only from the main thread."""
        return asyncio.run(self._main())

    async def _main(self) -> int:
        self._listen_to_signals()
        if self._options.max_runtime_seconds is not None:
            asyncio.get_running_loop().call_later(self._options.max_runtime_seconds, self._run_out)
        opening = asyncio.create_task(self._open_station(), name="holdfast-supervisor-open")
        try:
            return await self._keep_running()
        finally:
            opening.cancel()
            if self._burials:
                await asyncio.wait(self._burials, timeout=_BURIAL_SECONDS)
            for burial in self._burials:
                burial.cancel()
            await self._station.close(_BURIAL_SECONDS)

    async def _keep_running(self) -> int:
        while True:
            ward = self._ward = _Ward(self._options, self._station, self._opened)
            if self._stopping.is_set():
                ward.child.signal(signal.SIGTERM)
            status = await ward.outlive()
            self._ward = None
            if ward.number is not None:
                self._registered_once = True
                self.workers.append(ward.number)
            self._bury(ward)
            if self._is_final(status):
                return status if status >= 0 else 128 - status
            await self._pause(ward, status)
            if self._stopping.is_set():
                return status if status >= 0 else 128 - status

    def _is_final(self, status: int) -> bool:
        """Whether nothing is started again after this end of the worker process."""
        if self._stopping.is_set():
            return True
        # One that never got as far as registering says what is wrong by its status: a setting, an import.
        return status >= 0 and not (self._options.restart and self._registered_once)

    async def _pause(self, ward: _Ward, status: int) -> None:
        """Say that it crashed, and wait before the next one: longer and longer, until one stays healthy."""
        if monotonic() - ward.child.born_at >= self._options.healthy_seconds:
            self._crashes = 0
        self._crashes += 1
        seconds = min(_FIRST_BACKOFF_SECONDS * 2 ** (self._crashes - 1), _LONGEST_BACKOFF_SECONDS)
        emit("worker.crashed", pid=ward.child.pid, status=status, reason=ward.reason(status), restart_seconds=seconds)
        if self._crashes >= _CRASHES_TO_SAY_LOUDLY:
            emit("worker.crash_loop", crashes=self._crashes, status=status, restart_seconds=seconds)
        try:
            async with asyncio.timeout(seconds * random.uniform(0.75, 1.0)):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _bury(self, ward: _Ward) -> None:
        """Have the end declared and the work put back, beside whatever comes next."""
        task = asyncio.create_task(ward.bury(), name="holdfast-supervisor-burial")
        self._burials.add(task)
        task.add_done_callback(self._burials.discard)

    async def _open_station(self) -> None:
        """Connect, however long the server takes to come."""
        while True:
            try:
                await self._station.open(_OPEN_SECONDS)
            except DatabaseUnavailable as error:
                log.warning("the database is not there yet: %s", error.message)
            except Exception:
                log.exception("the database cannot be used; trying again")
            else:
                self._opened.set()
                return
            await asyncio.sleep(1.0)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(signal.SIGHUP, self._stop)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(number, self._forward, number)

    def _reap(self) -> None:
        if self._ward is not None:
            self._ward.child.reap()

    def _stop(self) -> None:
        """First: stop in order; second: at once, still in the worker's own way; third: the end."""
        self._stop_signals += 1
        self._stopping.set()
        if self._stop_signals == 1:
            asyncio.get_running_loop().call_later(self._options.shutdown_hard_seconds + 5.0, self._kill)
        if self._stop_signals > 2:
            self._kill()
        elif self._ward is not None:
            self._ward.child.signal(signal.SIGTERM)

    def _run_out(self) -> None:
        if not self._stopping.is_set():
            self.out_of_time = True
            log.info("its time of %g s is over: it stops in order", self._options.max_runtime_seconds)
            self._stop()

    def _forward(self, number: int) -> None:
        # Before it said hello it has no handlers yet, and would die of it.
        if self._ward is not None and self._ward.said_hello:
            self._ward.child.signal(number)

    def _kill(self) -> None:
        if self._ward is not None:
            log.error("the worker process did not end in time; it is killed")
            self._ward.child.signal(signal.SIGKILL)


class _Ward:
    """One life of the worker process: from its start to its burial."""

    def __init__(self, options: SupervisorOptions, station: Station, opened: asyncio.Event) -> None:
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
        self.child = Child(options.child, options.environment, self._hear)

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
