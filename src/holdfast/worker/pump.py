"""The pump: it writes what has ended and claims what comes next, in one round trip, and never overlaps with itself.

Results wait a few milliseconds for each other. A call whose answer was lost is repeated until it is known; a row that
cannot be stored is found by halving, so that it never holds back the others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Fault, classify
from holdfast.errors import DatabaseUnavailable
from holdfast.jobs import Answer, Exit, Finished, HotPath, Left, Outcome, encode_error
from holdfast.telemetry import get_logger
from holdfast.worker.idleness import Idleness
from holdfast.worker.options import WorkerOptions
from holdfast.worker.prefetch import Prefetch
from holdfast.worker.runners import Runners

log = get_logger("worker")

Item = TypeVar("Item", Finished, Left)
_ROW_AT_FAULT = (Fault.ROW, Fault.REPEATED)
_MOST_TOGETHER = 1000
_MOST_UNWRITTEN = 10_000
_FULL_TURN_SECONDS = 0.0005


class Pump:
    """Moves jobs between the hot path and the runners of one worker."""

    def __init__(
        self,
        hot: HotPath,
        runners: Runners,
        idleness: Idleness,
        options: WorkerOptions,
        *,
        may_work: Callable[[], bool],
        on_dead: Callable[[], None],
        on_refused: Callable[[int], None],
    ) -> None:
        self._hot = hot
        self._runners = runners
        self._idleness = idleness
        self._options = options
        self._may_work = may_work
        self._on_dead = on_dead
        self._on_refused = on_refused
        self._prefetch = Prefetch(options.concurrency, options.prefetch_seconds, options.max_prefetch)
        self._finished: list[Finished] = []
        self._left: list[Left] = []
        self._again = False
        self._stir = asyncio.Event()
        # One call at a time: at the end of a worker `flush` writes while `run` may still wait for an answer.
        self._call = asyncio.Lock()
        self._first_result_at = 0.0
        self._rung = False
        self.claiming = True
        self.claimed_count = 0
        self.turned_at = monotonic()
        self.claimed_at: float | None = None
        self.found_nothing = asyncio.Event()
        self._written = asyncio.Event()
        self._taken_count = 0
        self._written_count = 0
        self.on_postponed: Callable[[], None] = lambda: None

    @property
    def unwritten(self) -> int:
        """Endings that are not durable yet, those of a call on its way among them."""
        return self._taken_count - self._written_count

    @property
    def at_rest(self) -> bool:
        """Whether nothing is on its way to or from the server, and nothing waits to be sent."""
        return not self._call.locked() and self.unwritten == 0

    def add(self, ending: Finished | Left) -> None:
        """Take an ending; it is written with the next call."""
        if not self._finished and not self._left:
            self._first_result_at = monotonic()
        if isinstance(ending, Finished):
            self._finished.append(ending)
        else:
            self._left.append(ending)
        self._taken_count += 1
        self._prefetch.ended()
        self._stir.set()

    def freed(self) -> None:
        """A runner is free again, and there is nothing to write: the job ended in its own transaction."""
        self._prefetch.ended()
        self._stir.set()

    def between_calls(self) -> AbstractAsyncContextManager[None]:
        """Entered once the call that is under way has been answered; the next one begins when it is left."""
        return self._call

    def drop(self) -> None:
        """Forget every ending: the leases are lost, and all of them would be refused."""
        dropped = len(self._finished) + len(self._left)
        self._finished.clear()
        self._left.clear()
        self._wrote(dropped)

    async def settled(self) -> None:
        """Returns once as many endings have been written as there are by now."""
        mark = self._taken_count
        while self._written_count < mark:
            self._written.clear()
            await self._written.wait()

    def _wrote(self, count: int) -> None:
        self._written_count += count
        self._written.set()

    def stir(self) -> None:
        """Look now: a hint came, or the circumstances changed."""
        self._idleness.stirred()
        self._stir.set()

    def ring(self) -> None:
        """Somebody rang: a job is ready here, or will be sooner than anything known so far."""
        self._rung = True
        self.stir()

    async def run(self) -> None:
        """Pump until cancelled. Faults of the database are waited out here, with what has ended kept in memory."""
        pause = 0.02
        while True:
            try:
                await self._turn()
            except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
                log.warning(
                    "the database did not answer (%s), %d endings wait: %s",
                    classify(error).value,
                    self.unwritten,
                    error,
                )
            except Exception:  # without its pump a worker would hold its leases for ever and do nothing
                log.exception("the pump stumbled and goes on, %d endings wait", self.unwritten)
            else:
                pause = 0.02
                continue
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, 1.0)

    async def flush(self, deadline_seconds: float) -> bool:
        """Write everything that has ended, and end the leases. False: it could not be done in time.

        A call that is on its way is waited for first: what it claims has to be given back as well.
        """
        give_up_at = monotonic() + deadline_seconds
        while self._call.locked() or self.unwritten or self._hot.owes_ends:
            left = give_up_at - monotonic()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(left):
                    await self._write_left()
                    await self._write_finished(end_leases=True)
            except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
                log.warning("flush: %s", error)
                await asyncio.sleep(0.05)
        return True

    async def _turn(self) -> None:
        self.turned_at = monotonic()
        self._stir.clear()
        if not self.claiming:
            self._idleness.away()
        if self._left:
            await self._write_left()
        room = self._room()
        if room > 0:
            await self._work(room)
        elif self._finished and (full := self._flush_in()) <= 0:
            await self._write_finished()
        elif self._finished:
            await self._wait(full)
        else:
            await self._wait(self._options.poll_max_seconds)

    def _room(self) -> int:
        """How many jobs to claim now; 0 as long as the buffer lasts, or while results pile up unwritten."""
        if not self.claiming or self.unwritten > _MOST_UNWRITTEN or not self._may_work():
            return 0
        runners = self._runners
        if runners.idle and (runners.buffer or runners.suspects):
            runners.wake()  # they parked while this process could not be sure to be live
        waiting = len(runners.buffer) + len(runners.suspects)
        return self._prefetch.room(runners.idle, waiting)

    async def _work(self, room: int) -> None:
        """One merged call, and what its answer asks for."""
        if not self._finished and not self._idleness.may_look():
            self.found_nothing.set()
            await self._wait(self._idleness.pause_seconds())
            return
        batch = await self._ask(room)
        if batch is None:
            await self._write_finished()
            return
        if batch.claimed:
            self.claimed_at = monotonic()
            self.found_nothing.clear()
            self._idleness.found(can_take_more=self._runners.idle > 0)
            # After a full batch the next call is sent first: the runners work while the server does. After a small one
            # they begin at once, and what they end soon goes along.
            if len(batch.claimed) < room:
                await asyncio.sleep(0 if len(batch.claimed) > 1 else _FULL_TURN_SECONDS)
        elif not self._stir.is_set():
            if self._rung:
                self._rung = False
                self.on_postponed()  # rung for something that is not due yet
            await self._idleness.nothing()
        # Else: rung for while the server looked, perhaps for what its snapshot did not see. It looks again at once.

    async def _ask(self, room: int) -> Answer | None:
        """The call itself; None: a row among the endings was at fault, and nothing was done."""
        asked_at = monotonic()
        async with self._call:
            finished, self._finished = self._finished[:_MOST_TOGETHER], self._finished[_MOST_TOGETHER:]
            try:
                batch = await self._hot.work(finished, room, again=self._again)
            except BaseException as error:
                at_fault = bool(finished) and classify(error) in _ROW_AT_FAULT
                self._keep(finished, again=self._again or not at_fault)
                if at_fault:
                    return None
                raise
            self._again = False
            self._answered(batch, finished)
        self._prefetch.answered(len(finished), monotonic() - asked_at)
        return batch

    def _answered(self, batch: Answer, finished: Sequence[Finished]) -> None:
        for job_id in batch.refused:
            self._on_refused(job_id)
        self._wrote(len(finished))
        self.claimed_count += len(batch.claimed)
        if batch.dead:
            self.claiming = False
            self._on_dead()
        if self.claiming:
            self._runners.feed(batch.claimed)
        else:  # told to stop while the claim was on its way
            for claimed in batch.claimed:
                self.add(Left(claimed, Exit.RETURN, 0.0, claimed.attempt))

    async def _write_finished(self, *, end_leases: bool = False) -> None:
        """Write endings without claiming: the runners are busy, or a row among them was at fault."""
        asked_at = monotonic()
        async with self._call:
            if not self._finished and not (end_leases and self._hot.owes_ends):
                return
            finished, self._finished = self._finished[:_MOST_TOGETHER], self._finished[_MOST_TOGETHER:]
            try:
                await self._finish(finished)
            except BaseException:
                self._keep(finished)
                raise
            self._again = False
            self._wrote(len(finished))
        self._prefetch.answered(len(finished), monotonic() - asked_at)

    async def _finish(self, finished: Sequence[Finished]) -> None:
        """Finish, halving the batch until a row at fault is alone; that job fails: its result cannot be stored."""
        try:
            refused = await self._hot.finish(finished, again=self._again, comes_back=self.claiming)
        except DRIVER_ERRORS as error:
            fault = classify(error)
            if fault not in _ROW_AT_FAULT:
                raise
            if fault is Fault.REPEATED and not self._again:
                self._again = True  # an earlier try was committed after all
                await self._finish(finished)
            elif len(finished) > 1:
                middle = len(finished) // 2
                await self._finish(finished[:middle])
                await self._finish(finished[middle:])
            elif finished and finished[0].result is not None:
                item = finished[0]
                item.outcome, item.result = Outcome.FAILED, None
                item.error = encode_error("ResultNotStorable", f"the result cannot be stored: {error}")
                await self._finish([item])
            else:
                raise
        else:
            for job_id in refused:
                self._on_refused(job_id)

    async def _write_left(self) -> None:
        async with self._call:
            left, self._left = self._left[:_MOST_TOGETHER], self._left[_MOST_TOGETHER:]
            if not left:
                return
            try:
                refused = await self._hot.leave(left)
            except BaseException:
                self._left = left + self._left
                raise
            self._wrote(len(left))
        if any(item.delay_seconds > 0 for item in left):
            self.on_postponed()
        for job_id in refused:
            self._on_refused(job_id)

    def _keep(self, finished: list[Finished], *, again: bool = True) -> None:
        """Keep the endings of a call that failed; if its answer was lost, what is mine already counts as accepted."""
        self._finished = finished + self._finished
        self._again = again

    def _flush_in(self) -> float:
        """Seconds until results have waited long enough for each other."""
        return self._first_result_at + self._options.flush_seconds - monotonic()

    async def _wait(self, seconds: float) -> None:
        if self._stir.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stir.wait()
        except TimeoutError:
            pass
