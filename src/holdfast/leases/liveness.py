"""One worker's own side of liveness: it registers, beats, and stops by itself when it must be taken for dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.clock import monotonic
from holdfast.errors import DatabaseUnavailable
from holdfast.leases.identity import WorkerFacts
from holdfast.leases.limits import Limits
from holdfast.leases.session import LIVENESS_LOCK_CLASS, LivenessSession, signed
from holdfast.leases.standing import Standing, State
from holdfast.telemetry import emit, get_logger

log = get_logger("leases")

_TICK_SECONDS = 0.1

_DECLARED_DEAD = "declared dead"


class Liveness:
    """The life of one worker under one number: ``register``, then beats until ``retire`` or ``on_lost``.

    Callbacks come from the event loop that ``register`` ran in. ``on_cut_off``: start nothing, cancel what runs.
    ``on_restored``: go on. ``on_lost``: this number is over, nothing written under it is accepted. ``on_beat``: a
    beat sent at that monotonic moment was accepted.
    """

    def __init__(
        self,
        session: LivenessSession,
        limits: Limits,
        *,
        on_lost: Callable[[str], None],
        on_cut_off: Callable[[], None],
        on_restored: Callable[[], None],
        on_beat: Callable[[float], None] = lambda _: None,
        beat_gate: Callable[[], bool] = lambda: True,
    ) -> None:
        """``beat_gate`` is asked before each beat; false withholds it (the worker process is stopped or hung)."""
        self._session = session
        self._limits = limits
        self._on_lost = on_lost
        self._on_cut_off = on_cut_off
        self._on_restored = on_restored
        self._on_beat = on_beat
        self._gate = beat_gate
        self._has_session = session.direct
        silence = limits.silence_of(has_session=self._has_session)
        self._standing = Standing(
            silence_seconds=silence,
            grace_seconds=limits.session_grace_seconds,
            # A session tells a loss at once. Without one only missing answers do, and others wait for 15 s only.
            cut_off_seconds=None if self._has_session else silence * 2 / 3,
        )
        self._worker: int | None = None
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._forget: Callable[[], None] = lambda: None
        self._leaving = False

    @property
    def worker(self) -> int:
        """The number of this worker."""
        if self._worker is None:
            raise LookupError("the worker is not registered yet")
        return self._worker

    @property
    def registered(self) -> bool:
        """Whether it has a number."""
        return self._worker is not None

    @property
    def has_session(self) -> bool:
        """Whether a direct session of its own says that it lives."""
        return self._has_session

    @property
    def silence_seconds(self) -> float:
        """The silence after which others take it for dead."""
        return self._limits.silence_of(has_session=self._has_session)

    @property
    def state(self) -> State:
        """How it stands, as of the last tick."""
        return self._standing.state

    def may_work(self) -> bool:
        """Whether a job may be started at this moment; right also in the first microsecond after a pause."""
        return self._standing.may_work(monotonic())

    async def register(self, facts: WorkerFacts) -> int:
        """Register, take the number's lock, begin to beat. Raises ``DatabaseUnavailable`` while the server is away.

        A registration whose answer was lost leaves a number that nobody beats for; the observer ends it.
        """
        sent_at = monotonic()
        self._worker = int(
            await self._session.value(
                "register",
                facts.name,
                facts.host,
                facts.pid,
                facts.incarnation,
                facts.version,
                list(facts.queues),
                facts.concurrency,
                self._has_session,
            )
        )
        self._standing.begin(sent_at)
        self._forget = self._session.on_change(lost=self._session_lost, back=self._session_back)
        try:
            await self._session.hold(LIVENESS_LOCK_CLASS, signed(self._worker))
        except DatabaseUnavailable:
            log.warning("worker %d takes its number with the next session", self._worker)
        if not self._session.connected:
            self._session_lost()
        self._tasks = [
            asyncio.create_task(self._watch(), name="holdfast-liveness-watch"),
            asyncio.create_task(self._beat_on(), name="holdfast-liveness-beat"),
        ]
        return self._worker

    def give_up(self, reason: str) -> None:
        """The one who watches the process says that it is over."""
        self._change(lambda: self._standing.refused(reason))

    async def retire(self, reason: str, deadline_seconds: float) -> bool:
        """Leave for good: declared dead by itself, after its leases were given back. False: not within the deadline.

        Then the session's end, or the silence, will say it. A beat that is refused from now on is no loss.
        """
        self._leaving = True
        try:
            async with asyncio.timeout(deadline_seconds):
                dead = self._worker is None or await self._declare(reason)
        except TimeoutError:
            dead = False
        await self.stop()
        return dead

    async def stop(self) -> None:
        """Stop beating and let go of the number, without a word to the database."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        self._forget()
        self._forget = lambda: None
        if self._worker is not None:
            await self._session.let_go(LIVENESS_LOCK_CLASS, signed(self._worker))

    async def _declare(self, reason: str) -> bool:
        while True:
            try:
                if await self._session.value("declare_dead", self.worker, reason):
                    return True
            except DatabaseUnavailable:
                pass
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        while True:
            self._tick()
            await asyncio.sleep(_TICK_SECONDS)

    async def _beat_on(self) -> None:
        every = self._limits.beat_every(has_session=self._has_session)
        while not self._over():
            self._wake.clear()
            # Before anything else: a process that was paused for too long must not beat, it must stop.
            self._tick()
            if self._gate() and not self._over():
                await self._beat()
            try:
                async with asyncio.timeout(every):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _beat(self) -> None:
        sent_at = monotonic()
        try:
            live = await self._session.value("beat", self.worker)
        except DatabaseUnavailable:
            self._tick()
            return
        except Exception:
            log.exception("a beat failed; the next one follows")
            self._tick()
            return
        # The pause may have been while the answer was on its way.
        self._tick()
        if not live:
            if self._leaving:  # the declaration was done, although its answer was lost
                return
            self._change(lambda: self._standing.refused(_DECLARED_DEAD))
            return
        self._change(lambda: self._standing.beaten(sent_at, monotonic()))
        if self._standing.state is State.LIVE:
            self._on_beat(sent_at)

    def _over(self) -> bool:
        return self._standing.state is State.LOST

    def _session_lost(self) -> None:
        self._tick()
        self._standing.session_lost(monotonic())

    def _session_back(self) -> None:
        self._tick()
        self._standing.session_back()
        self._wake.set()

    def _tick(self) -> None:
        self._change(lambda: self._standing.tick(monotonic()))

    def _change(self, act: Callable[[], None]) -> None:
        """Let the standing change, and tell whoever must know."""
        before = self._standing.state
        act()
        after, reason = self._standing.state, self._standing.reason
        if after is before:
            return
        try:
            if after is State.LOST:
                emit("worker.fenced", worker=self._worker, reason=reason)
                self._on_lost(reason)
            elif after is State.CUT_OFF:
                emit("worker.cut_off", worker=self._worker, reason=reason)
                self._on_cut_off()
            else:
                emit("worker.restored", worker=self._worker)
                self._on_restored()
        except Exception:
            log.exception("a callback of the liveness failed")
