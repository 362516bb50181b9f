"""The worker's side of the hot path: claim, finish, leave, and the bookkeeping of its own leases.

The worker draws a lease's number before it asks for one. So after a lost answer it knows what to look for, and what
the server holds in its name and it does not know of can be given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements
from holdfast.jobs.asking import Asking
from holdfast.jobs.claim_order import ClaimOrder
from holdfast.jobs.left_gates import LeftGates
from holdfast.jobs.new_job import COMPANY, GATED
from holdfast.jobs.records import Answer, Claimed, Finished, Left

_SQL = load_statements("holdfast.jobs", "hot.sql")
_WORKER_SHIFT = 36
_STRAIGHT_SECONDS = 0.1
_JOB, _REFUSED, _DEAD, _WANTING, _LATER = 0, 1, 2, 3, 4


def worker_of(lease: int) -> int:
    """The worker that drew this lease."""
    return lease >> _WORKER_SHIFT


class HotPath:
    """Claims and completions of one registered worker. Its calls must not overlap; the worker's pump sees to that."""

    def __init__(
        self, database: Database, worker: int, queues: Sequence[str], *, timeout_seconds: float = 30.0
    ) -> None:
        self.worker = worker
        self.order = ClaimOrder(queues)
        self.asking = Asking()
        self._database = database
        self._held = database.hold("control")
        self._timeout_seconds = timeout_seconds
        self._drawn = worker << _WORKER_SHIFT
        self._outstanding: dict[int, int] = {}
        self._over: list[int] = []
        self._unsure: set[int] = set()
        self._straight_until = 0.0
        self.left_gates = LeftGates()
        self.on_gates_freed: Callable[[list[int]], None] = lambda _jobs: None

    @property
    def leases(self) -> list[int]:
        """The leases this worker knows of, oldest first."""
        return sorted(self._outstanding)

    @property
    def takes_straight(self) -> bool:
        """Whether a claim of just now got something straight from a line: the next one goes on there."""
        return monotonic() < self._straight_until

    @property
    def owes_ends(self) -> bool:
        """Whether leases wait for a call that ends them."""
        return bool(self._over)

    async def work(self, finished: Sequence[Finished], limit: int, *, again: bool = False) -> Answer:
        """Write what has finished and claim up to ``limit`` jobs, in one commit.

        ``again``: an earlier call with some of these had no answer. On an error nothing is forgotten: call again.
        """
        exact = self.order.wants_exact()
        queues, priorities, marks = self.order.levels(exact=exact)
        base = self._draw(limit)
        over, left = list(self._over), self.left_gates.ask()
        asked_at = monotonic()
        try:
            claim = (self.worker, base, limit, queues, priorities, marks, left)
            if finished or over:
                columns = _finish_columns(finished)
                rows = await self._fetch("work", *columns, over, again, _company(finished), *claim)
            else:
                rows = await self._fetch("claim", *claim)
        except BaseException:
            self._answer_lost(base, limit)
            raise
        if self.asking.end():
            # The answer says which numbers exist, so the others are drawn again. A worker has 2^36 of them: used up a
            # thousand at a time they would end within months, and go on in the next worker's.
            self._drawn = max([base - 1, *(row[2] for row in rows if row[0] == _JOB)])
        else:
            self._answer_lost(base, limit)
            rows = [row for row in rows if row[0] != _JOB]
        batch = self._read(rows)
        if exact or len(batch.claimed) < limit:
            self.order.exact_took(monotonic() - asked_at) if exact else self.order.distrust_hints()
        self._settle(finished, over)
        return batch

    async def finish(self, finished: Sequence[Finished], *, again: bool = False, comes_back: bool = False) -> list[int]:
        """Write what has finished and claim nothing; returns the ids that were refused.

        ``comes_back``: a claim follows soon, and may go on at the gates that these have left.
        """
        over = list(self._over)
        ((refused, gates),) = await self._fetch("finish", *_finish_columns(finished), over, again, _company(finished))
        self._settle(finished, over)
        if comes_back:
            self.left_gates.keep(gates or ())
        else:
            self.left_gates.give_up(gates or ())
        return list(refused)

    async def leave(self, left: Sequence[Left]) -> list[int]:
        """Let jobs leave their leases for scheduled or ready; returns the ids that were refused."""
        over = list(self._over)
        refused: list[int] = await self._fetchval("leave", *_leave_columns(left), over)
        self._settle(left, over)
        self._gates_freed(left)
        return refused

    def left_apart(self, left: Sequence[Left]) -> None:
        """These have left by ``leave_apart``: set the books right."""
        self._settle(left, ())
        self._gates_freed(left)

    async def take_back_unread(self, database: Database, overdue_seconds: float, *, timeout_seconds: float) -> int:
        """From another thread: give back what a claim got whose answer has not been read for so long; how many jobs."""
        base = self.asking.overdue(overdue_seconds)
        if base is None:
            return 0
        options: dict[str, Any] = {"pool": "control", "timeout_seconds": timeout_seconds}
        leases = await database.fetch(_SQL["unknown_leases"], self.worker, base, [], **options)
        if not leases or not self.asking.withdraw(base):
            return 0
        return sum([await database.fetchval(_SQL["release_lease"], row[0], **options) for row in leases])

    async def settle_marks(self) -> None:
        """Move the settled marks up as far as is certain."""
        row = await self._database.fetchrow(
            _SQL["marks"], *self.order.question(), pool="control", timeout_seconds=self._timeout_seconds
        )
        self.order.answer(row["pending"], row["fence"], row["marks"])

    async def release_unknown(self) -> int:
        """Give back leases that the server holds in our name and that we do not know of; returns how many jobs.

        Only what was unknown at two looks in a row, so that a claim still on its way is not taken for a lost one.
        """
        unknown = {
            row[0] for row in await self._fetch("unknown_leases", self.worker, self._lowest(), self.leases + self._over)
        }
        if (asking_from := self.asking.base) is not None:
            unknown = {lease for lease in unknown if lease < asking_from}
        certain, self._unsure = unknown & self._unsure, unknown
        return sum([await self._fetchval("release_lease", lease) for lease in sorted(certain)])

    async def close(self) -> None:
        """Give the connection back."""
        await self._held.close()

    def forget(self, jobs: Iterable[Claimed]) -> None:
        """Jobs whose own transaction has ended their lease."""
        for job in jobs:
            self._outstanding.pop(job.lease, None)
            if job.flags & GATED:
                self.on_gates_freed([job.id])

    def _draw(self, limit: int) -> int:
        self._drawn += 1
        base = self._drawn
        self._drawn += limit
        self.asking.begin(base)
        return base

    def _answer_lost(self, base: int, limit: int) -> None:
        """These leases may exist or come to exist: the next look that still finds them gives them back."""
        self._unsure.update(range(base, base + limit + 1))
        self.asking.end()
        self.order.distrust_hints()
        self.left_gates.lost()

    def _read(self, rows: Iterable[Any]) -> Answer:
        now, straight = monotonic(), False
        wanting, later = list[str](), list[str]()
        batch = Answer([], [], dead=False)
        # The server joins payloads by hashing; the order of the claim is restored here.
        for row in sorted(rows, key=_claim_order):
            kind, job_id, lease, queue, priority, seq, attempt, flags, task, args, max_attempts, timeout, trace = row
            if kind == _JOB:
                batch.claimed.append(
                    Claimed(
                        job_id, lease, queue, priority, attempt, flags, task, args, max_attempts, timeout, trace, now
                    )
                )
                self._outstanding[lease] = self._outstanding.get(lease, 0) + 1
                if seq < 0:
                    straight = True
                else:
                    self.order.claimed(queue, priority, seq)
            elif kind == _REFUSED:
                batch.refused.append(job_id)
            elif kind == _DEAD:
                batch.dead = True
            elif kind == _WANTING:
                wanting = args.split("\n")
            elif kind == _LATER:
                later = args.split("\n")
        self._straight_until = now + _STRAIGHT_SECONDS if straight else 0.0
        self.left_gates.answered(wanting, later)
        return batch

    def _settle(self, gone: Iterable[Finished | Left], over: Sequence[int]) -> None:
        """Count what has left its lease; a lease that nobody is left in ends with the next call."""
        if over:
            ended = set(over)
            self._over = [lease for lease in self._over if lease not in ended]
        for item in gone:
            lease = item.job.lease
            left = self._outstanding.get(lease, 0) - 1
            if left > 0:
                self._outstanding[lease] = left
            elif self._outstanding.pop(lease, None) is not None:
                self._over.append(lease)

    def _gates_freed(self, left: Sequence[Left]) -> None:
        if gated := [item.job.id for item in left if item.job.flags & GATED]:
            self.on_gates_freed(gated)

    def _lowest(self) -> int:
        return min([*self._outstanding, *self._over, *self._unsure], default=self._drawn)

    async def _fetch(self, name: str, *params: Any) -> list[Any]:
        return await self._held.fetch(_SQL[name], *params, timeout_seconds=self._timeout_seconds)

    async def _fetchval(self, name: str, *params: Any) -> Any:
        return await self._held.fetchval(_SQL[name], *params, timeout_seconds=self._timeout_seconds)


async def leave_apart(database: Database, left: Sequence[Left], *, timeout_seconds: float) -> list[int]:
    """``HotPath.leave`` beside the worker's own calls, from another thread; returns the ids that were refused.

    It ends no lease. After an error it may be repeated: who has left already counts as accepted.
    """
    refused: list[int] = await database.fetchval(
        _SQL["leave"], *_leave_columns(left), [], pool="control", timeout_seconds=timeout_seconds
    )
    return refused


def _claim_order(row: Any) -> tuple[int, int]:
    """By priority and place in the queue; rows that are no jobs come anywhere."""
    return row[4] or 0, row[5] or 0


def _finish_columns(finished: Sequence[Finished]) -> tuple[Any, ...]:
    """The first ten parameters of ``work`` and ``finish``; results and errors that nobody has are NULL, not arrays.

    Numbers travel as array literals: the driver looks at an array element by element, and at a text once.
    """
    now = monotonic()
    names: dict[str, int] = {}
    queue_at = [names.setdefault(item.job.queue, len(names) + 1) for item in finished]
    results = [item.result for item in finished]
    errors = [item.error for item in finished]
    return (
        _literal([item.job.lease for item in finished]),
        _literal([item.job.id for item in finished]),
        _literal([item.outcome for item in finished]),
        _literal([item.job.attempt for item in finished]),
        _literal([int((now - item.started_at) * 1_000_000) for item in finished]),
        _literal([int(item.took_seconds * 1_000_000) for item in finished]),
        results if any(result is not None for result in results) else None,
        errors if any(error is not None for error in errors) else None,
        list(names),
        _literal(queue_at),
    )


def _literal(numbers: Sequence[int]) -> str:
    return "{" + ",".join(map(str, numbers)) + "}"


def _company(finished: Sequence[Finished]) -> str | None:
    """The jobs among them that others wait for, as an array literal; None for none."""
    company = [item.job.id for item in finished if item.job.flags & COMPANY]
    return _literal(company) if company else None


def _leave_columns(left: Sequence[Left]) -> tuple[Any, ...]:
    now = monotonic()
    return (
        [item.job.lease for item in left],
        [item.job.id for item in left],
        [int(item.exit) for item in left],
        [int(item.delay_seconds * 1_000_000) for item in left],
        [item.attempt for item in left],
        [item.job.queue for item in left],
        [item.job.priority for item in left],
        [item.job.flags for item in left],
        [item.error for item in left],
        [int((now - item.started_at) * 1_000_000) for item in left],
        [int(item.took_seconds * 1_000_000) for item in left],
    )
