"""Runner coroutines fed from a buffer: a fixed number, because a task object per job costs more than the job."""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast

from holdfast.clock import monotonic
from holdfast.jobs import SUSPECT, Claimed, Job, job_holder
from holdfast.worker.attempt import Attempts, Ending

_SLICE_SECONDS = 0.004
"""How long handlers that never wait may keep the event loop before others get a turn."""


class Runners:
    """``concurrency`` runners and one more for suspects, of which only one runs at a time.

    ``make_job`` makes the handler's view of a claimed job; ``ended`` hears what became of every attempt; ``may_work``
    is asked before each start, because a process that was stopped for a while cannot know what has changed meanwhile;
    ``settled`` returns once the endings so far are durable.
    """

    def __init__(
        self,
        attempts: Attempts,
        concurrency: int,
        make_job: Callable[[Claimed], Job],
        ended: Callable[[Claimed, Ending], None],
        may_work: Callable[[], bool],
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        self.concurrency = concurrency
        self.buffer: deque[Claimed] = deque()
        self.suspects: deque[Claimed] = deque()
        self.running: dict[int, tuple[Job, asyncio.Task[None]]] = {}
        self.fed = threading.Event()
        self._attempts = attempts
        self._make_job = make_job
        self._ended = ended
        self._may_work = may_work
        self._settled = settled
        self._parked: list[asyncio.Future[None]] = []
        self._parked_quarantine: list[asyncio.Future[None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._context = contextvars.copy_context()

    @property
    def idle(self) -> int:
        """Runners that wait for a job."""
        return len(self._parked)

    @property
    def quiet(self) -> bool:
        """Whether nothing runs and nothing is about to."""
        return not (self.running or self.buffer or self.suspects)

    @property
    def waiting(self) -> int:
        """Jobs that no runner has begun."""
        return len(self.buffer) + len(self.suspects)

    def start(self) -> None:
        """Start all runners."""
        for _ in range(self.concurrency):
            self._spawn(self.buffer, self._parked)
        self._spawn(self.suspects, self._parked_quarantine)

    def feed(self, jobs: list[Claimed]) -> None:
        """Hand over claimed jobs and wake as many runners."""
        for job in jobs:
            if not job.flags & SUSPECT:
                self.buffer.append(job)
        # In the order of their leases: should this process die, the first one not finished is the one that was running.
        self.suspects.extend(sorted((job for job in jobs if job.flags & SUSPECT), key=lambda job: job.lease))
        self.fed.set()
        self.wake()

    def wake(self) -> None:
        """Let as many runners look as there are jobs for them."""
        self._wake(self._parked, len(self.buffer))
        self._wake(self._parked_quarantine, len(self.suspects))

    def take_back(self) -> list[Claimed]:
        """Take everything that no runner has begun, from any thread. Each job goes to one: a runner, or the caller."""
        taken: list[Claimed] = []
        for waiting in (self.buffer, self.suspects):
            while (claimed := _next_of(waiting)) is not None:
                taken.append(claimed)
        return taken

    def oldest_wait_seconds(self) -> float:
        """How long the job that waits longest has waited in this process; from any thread."""
        since = min(_waits_since(self.buffer), _waits_since(self.suspects))
        return max(0.0, monotonic() - since)

    def interrupt(self, job: Job) -> None:
        """Cancel a running attempt where it waits. A thread goes on; whoever calls this for one abandons it."""
        entry = self.running.get(job.id)
        if entry is not None and entry[0] is job:
            entry[1].cancel()

    async def close(self, deadline_seconds: float) -> None:
        """End all runners; those that do not let themselves be cancelled are left behind."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_seconds)

    def _spawn(self, source: deque[Claimed], parked: list[asyncio.Future[None]]) -> None:
        task = asyncio.create_task(self._run(source, parked), name="holdfast runner", context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._runner_ended(done, source, parked))

    def _runner_ended(
        self, task: asyncio.Task[None], source: deque[Claimed], parked: list[asyncio.Future[None]]
    ) -> None:
        self._tasks.discard(task)
        if not self._closed and not task.get_loop().is_closed():
            self._spawn(source, parked)

    async def _run(self, source: deque[Claimed], parked: list[asyncio.Future[None]]) -> None:
        """Take jobs until a handler leaves something behind in this context; then a clean runner takes over."""
        me = cast("asyncio.Task[None]", asyncio.current_task())
        holder = job_holder()
        clean = contextvars.copy_context()
        slice_ends_at = monotonic() + _SLICE_SECONDS
        while not self._closed:
            claimed = _next_of(source) if source and self._may_work() else None
            if claimed is None:
                await self._park(parked)
                slice_ends_at = monotonic() + _SLICE_SECONDS
                continue
            job = holder[0] = self._make_job(claimed)
            self.running[claimed.id] = (job, me)
            ending: Ending = None
            try:
                ending = await self._attempts.run(claimed, job)
            finally:
                del self.running[claimed.id]
                holder[0] = None
                self._ended(claimed, ending)
            while me.cancelling():
                me.uncancel()  # it was for the job, which has answered
            if source is self.suspects:
                # Should the next one take this process down, it must be the only suspect that has not ended.
                await self._settled()
            if contextvars.copy_context() != clean:
                return
            if monotonic() >= slice_ends_at:
                await asyncio.sleep(0)
                slice_ends_at = monotonic() + _SLICE_SECONDS

    async def _park(self, parked: list[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        parked.append(turn)
        try:
            await turn
        finally:
            if turn in parked:
                parked.remove(turn)

    @staticmethod
    def _wake(parked: list[asyncio.Future[None]], count: int) -> None:
        for _ in range(min(count, len(parked))):
            turn = parked.pop()
            if not turn.done():
                turn.set_result(None)


def _waits_since(waiting: deque[Claimed]) -> float:
    """When the first one came; never, if there is none."""
    try:
        return waiting[0].claimed_at
    except IndexError:
        return math.inf


def _next_of(waiting: deque[Claimed]) -> Claimed | None:
    """Take the first one, or None. Taking is atomic: of two threads only one gets it."""
    try:
        return waiting.popleft()
    except IndexError:
        return None
