"""The small process that starts worker processes, beats for them, watches them and all others, and buries them.

A thread of the worker could not do this: a C call that holds the interpreter stops every thread (F17).
"""

from __future__ import annotations

import asyncio
import random
import signal

from holdfast.clock import monotonic
from holdfast.errors import DatabaseUnavailable
from holdfast.leases import Station
from holdfast.telemetry import emit, get_logger
from holdfast.worker.companion import keep
from holdfast.worker.lifeline import rescuing
from holdfast.worker.processes import StartedChild, start_child
from holdfast.worker.supervision import SupervisorOptions
from holdfast.worker.ward import Ward

log = get_logger("worker.supervisor")

_OPEN_SECONDS = 10.0
_BURIAL_SECONDS = 3.0
_COMPANION_SECONDS = 8.0
"""What the API needs to end: five seconds for open requests, and the rest for itself."""
_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.1, 30.0
_CRASHES_TO_SAY_LOUDLY = 3
_HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


class Supervisor:
    """Keeps worker processes running until it is told to stop, or they are done. One station beats for all of them."""

    def __init__(self, options: SupervisorOptions, first: StartedChild | None = None) -> None:
        """``first``: a worker process that was started already, and takes the first place."""
        self._options = options
        self._first = first
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
        self._posts: list[_Post] = []
        self.workers: list[int] = []
        """The numbers under which its worker processes were known, one a life."""
        self.out_of_time = False
        self._burials: set[asyncio.Task[None]] = set()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop, by a signal or because its time was over."""
        return self._stopping.is_set()

    def run(self) -> int:
        """Run until the end; returns the exit status, the highest of several. Only from the main thread.

        Signals are heard here until then, and afterwards by whoever heard them before.
        """
        before = {number: signal.getsignal(number) for number in _HEARD}
        try:
            return asyncio.run(self._main())
        finally:
            for number, handler in before.items():
                if handler is not None:  # none of Python's
                    signal.signal(number, handler)

    async def _main(self) -> int:
        self._listen_to_signals()
        if self._options.max_runtime_seconds is not None:
            asyncio.get_running_loop().call_later(self._options.max_runtime_seconds, self._run_out)
        opening = asyncio.create_task(self._open_station(), name="holdfast-supervisor-open")
        self._posts = [_Post(self) for _ in range(self._options.processes)]
        companions = [
            asyncio.create_task(keep(companion, end_seconds=_COMPANION_SECONDS), name=f"holdfast-{companion.name}")
            for companion in self._options.companions
        ]
        try:
            return max(await asyncio.gather(*(post.keep() for post in self._posts)))
        finally:
            opening.cancel()
            for companion in companions:
                companion.cancel()
            if companions:
                await asyncio.wait(companions)
            if self._burials:
                await asyncio.wait(self._burials, timeout=_BURIAL_SECONDS)
            for burial in self._burials:
                burial.cancel()
            await self._station.close(_BURIAL_SECONDS)

    @property
    def options(self) -> SupervisorOptions:
        """What it was told."""
        return self._options

    @property
    def stopping(self) -> asyncio.Event:
        """Set once it was told to stop."""
        return self._stopping

    def new_ward(self) -> Ward:
        """Start a worker process, or take the one that was started already."""
        started, self._first = self._first, None
        started = started or start_child(self._options.child, self._options.environment)
        return Ward(self._options, self._station, self._opened, started)

    def bury(self, ward: Ward) -> None:
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

    @property
    def _wards(self) -> list[Ward]:
        return [post.ward for post in self._posts if post.ward is not None]

    def _reap(self) -> None:
        for ward in self._wards:
            ward.child.reap()

    def _stop(self) -> None:
        """First: stop in order; second: at once, still in the worker's own way; third: the end."""
        self._stop_signals += 1
        self._stopping.set()
        if self._stop_signals == 1:
            asyncio.get_running_loop().call_later(self._options.shutdown_hard_seconds + 5.0, self._kill)
        if self._stop_signals > 2:
            self._kill()
        else:
            for ward in self._wards:
                ward.child.signal(signal.SIGTERM)

    def _run_out(self) -> None:
        if not self._stopping.is_set():
            self.out_of_time = True
            log.info("its time of %g s is over: it stops in order", self._options.max_runtime_seconds)
            self._stop()

    def _forward(self, number: int) -> None:
        # Before it said hello it has no handlers yet, and would die of it.
        for ward in self._wards:
            if ward.said_hello:
                ward.child.signal(number)

    def _kill(self) -> None:
        for ward in self._wards:
            log.error("worker process %d did not end in time; it is killed", ward.child.pid)
            ward.child.signal(signal.SIGKILL)


class _Post:
    """The place of one worker process: whoever holds it is replaced when it crashes."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._options = supervisor.options
        self._stopping = supervisor.stopping
        self.ward: Ward | None = None
        self._registered_once = False
        self._crashes = 0

    async def keep(self) -> int:
        """Keep it filled until nothing is to be started again; returns the last one's exit status."""
        while True:
            ward = self.ward = self._supervisor.new_ward()
            if self._stopping.is_set():
                ward.child.signal(signal.SIGTERM)
            status = await ward.outlive()
            self.ward = None
            if ward.number is not None:
                self._registered_once = True
                self._supervisor.workers.append(ward.number)
            self._supervisor.bury(ward)
            if self._is_final(status):
                return self._told(status)
            await self._pause(ward, status)
            if self._stopping.is_set():
                return self._options.stopped_status

    def _is_final(self, status: int) -> bool:
        """Whether nothing is started again after this end of the worker process."""
        if self._stopping.is_set():
            return True
        # One that never got as far as registering says what is wrong by its status: a setting, an import.
        return status >= 0 and not (self._options.restart and self._registered_once)

    def _told(self, status: int) -> int:
        """As the shell tells it. One that our own stop killed had no handlers yet, or not any more."""
        if status == -signal.SIGTERM and self._stopping.is_set():
            return self._options.stopped_status
        return status if status >= 0 else 128 - status

    async def _pause(self, ward: Ward, status: int) -> None:
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
