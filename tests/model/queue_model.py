"""The queue as a few dictionaries: what each verb must do, without transactions, locks or SQL."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.queue_calls import BATCHED, CANCELLED, COMPLETED, FAILED, GATED, KEYED, PRIORITY, RETRY, SUSPECT

PLACE_OF = {COMPLETED: "completed", FAILED: "failed", CANCELLED: "cancelled"}
WAITING = ("scheduled", "blocked", "ready")
MAX_LOSSES = 2
LIMIT, CAPACITY = "limit:l:", 2


@dataclass
class ModelJob:
    """One job and where it stands."""

    id: int
    queue: str
    priority: int
    flags: int
    place: str = "ready"
    key: str | None = None
    due_at: float = 0.0
    failures: int = 0
    losses: int = 0
    counted_losses: int = 0
    cancel_requested: bool = False
    ended_under: int = 0
    gates: tuple[str, ...] = ()
    holds: set[str] = field(default_factory=set)
    arrived: int = 0

    @property
    def finished(self) -> bool:
        return self.place in PLACE_OF.values()

    @property
    def attempt(self) -> int:
        return self.failures + 1


@dataclass
class ModelLease:
    """Jobs claimed together. ``known``: whether its worker ever read the answer."""

    id: int
    worker: int
    jobs: set[int]
    known: bool = True


@dataclass
class ModelBatch:
    """Jobs with one end. ``unsettled``: something has moved since the last settle."""

    id: int
    members: set[int]
    ended: bool = False
    cancelled: bool = False
    unsettled: bool = True

    @property
    def callbacks(self) -> int:
        return int(self.ended and not self.cancelled)


@dataclass
class Tally:
    """What the counters must say."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    lost: int = 0
    reopened: int = 0


@dataclass
class QueueModel:
    """All there is."""

    jobs: dict[int, ModelJob] = field(default_factory=dict)
    leases: dict[int, ModelLease] = field(default_factory=dict)
    batches: dict[int, ModelBatch] = field(default_factory=dict)
    live: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    paused: set[str] = field(default_factory=set)
    keys: dict[str, list[int]] = field(default_factory=dict)
    """Of each key who has held it, one after another: a purge may give it back to the one before."""
    tally: Tally = field(default_factory=Tally)
    blamed: dict[int, int] = field(default_factory=dict)
    died: set[tuple[int, int]] = field(default_factory=set)
    """Lease and job of attempts whose child process or engine died."""
    now: float = 0.0
    arrivals: int = 0

    def add(
        self,
        job_id: int,
        queue: str,
        priority: int = PRIORITY,
        *,
        flags: int = 0,
        key: str | None = None,
        delay: float | None = None,
        gates: tuple[str, ...] = (),
    ) -> None:
        assert job_id not in self.jobs
        flags |= (KEYED if key else 0) | (GATED if gates else 0)
        job = self.jobs[job_id] = ModelJob(job_id, queue, priority, flags, key=key, gates=gates)
        if delay is not None:
            job.place, job.due_at = "scheduled", self.now + delay
        else:
            self.arrivals += 1
            self.stand(job)
        if key is not None:
            self.keys.setdefault(key, []).append(job_id)

    def join(self, batch: int, jobs: list[int], queue: str) -> None:
        """New members; the batch is new, or not over."""
        joined = self.batches.setdefault(batch, ModelBatch(batch, set()))
        joined.members |= set(jobs)
        joined.unsettled = True
        for job_id in jobs:
            self.add(job_id, queue, flags=BATCHED)

    def settle(self) -> None:
        """Batches of which nothing is open end; of cancelled ones, whoever is open is cancelled."""
        for batch in self.batches.values():
            unfinished = [job for job in sorted(batch.members) if not self.jobs[job].finished]
            if batch.unsettled and not batch.ended:
                batch.unsettled = False
                if not unfinished:
                    batch.ended = True
                elif batch.cancelled:
                    self.cancel_members(batch)
            batch.unsettled = batch.unsettled and not batch.ended

    def cancel_members(self, batch: ModelBatch) -> None:
        for job_id in sorted(batch.members):
            job = self.jobs[job_id]
            if job.cancel_requested:
                continue  # asked before: the next claim or its worker ends it, wherever it stands
            if job.place in WAITING:
                self.cancel_waiting(job_id)
            elif not job.finished:
                job.cancel_requested = True

    def _moved(self, job_id: int) -> None:
        for batch in self.batches.values():
            if job_id in batch.members:
                batch.unsettled = True

    def stand(self, job: ModelJob) -> None:
        """It is to run as soon as it may."""
        job.place, job.arrived = ("blocked", self.arrivals) if job.gates else ("ready", 0)

    def give_back(self, job: ModelJob, *, ended: bool) -> None:
        """What a job holds of limits goes with its lease, what it holds of its lane with its end."""
        job.holds = set() if ended else {gate for gate in job.holds if gate.startswith("lane:")}

    def holders(self, gate: str) -> list[ModelJob]:
        """The jobs that hold a slot of this gate."""
        return [job for job in self.jobs.values() if gate in job.holds]

    def may_pass(self, job: ModelJob) -> bool:
        """Whether nothing keeps this blocked job from being ready."""
        served = bool(self.live) and job.queue not in self.paused
        for gate in job.gates:
            if gate in job.holds:
                continue
            if gate == LIMIT and not (served and len(self.holders(gate)) < CAPACITY):
                return False
            if gate != LIMIT and (self.holders(gate) or self.first_of(gate).arrived < job.arrived):
                return False
        return True

    def first_of(self, lane: str) -> ModelJob:
        """Who has stood before this lane for longest."""
        waiting = [job for job in self.jobs.values() if job.place == "blocked" and lane in job.gates]
        return min(waiting, key=lambda job: job.arrived)

    def holder_of(self, key: str) -> int | None:
        """The unfinished job that holds a key."""
        holders = self.keys.get(key)
        return None if not holders or self.jobs[holders[-1]].finished else holders[-1]

    def claim(self, lease: int, worker: int, jobs: list[int], *, known: bool) -> None:
        for job_id in jobs:
            self.jobs[job_id].place = "running"
        self.leases[lease] = ModelLease(lease, worker, set(jobs), known)

    def cancel_waiting(self, job_id: int) -> None:
        """A job in no lease ends as cancelled."""
        job = self.jobs[job_id]
        job.place, job.cancel_requested, job.ended_under = "cancelled", False, 0
        self.give_back(job, ended=True)
        self.tally.cancelled += 1
        self._moved(job_id)

    def holds(self, lease: int, job_id: int) -> bool:
        return lease in self.leases and job_id in self.leases[lease].jobs

    def finish(self, lease: int, job_id: int, state: int) -> None:
        self.leases[lease].jobs.discard(job_id)
        job = self.jobs[job_id]
        job.place, job.ended_under, job.cancel_requested = PLACE_OF[state], lease, False
        self.give_back(job, ended=True)
        self._count(state)
        self._moved(job_id)

    def leave(self, lease: int, job_id: int, move: int, delay: float) -> None:
        self.leases[lease].jobs.discard(job_id)
        job = self.jobs[job_id]
        job.failures += move == RETRY
        if job.cancel_requested:
            job.place, job.ended_under, job.cancel_requested = "cancelled", lease, False
            self.give_back(job, ended=True)
            self.tally.cancelled += 1
            self._moved(job_id)
            return
        self.tally.retried += move == RETRY
        self.give_back(job, ended=False)
        if delay > 0:
            job.place, job.due_at = "scheduled", self.now + delay
        else:
            self.arrivals += 1
            self.stand(job)

    def rescue(self, worker: int) -> None:
        """What a dead worker held goes back under suspicion, or ends."""
        for lease in sorted(
            (lease for lease in self.leases.values() if lease.worker == worker), key=lambda lease: lease.id
        ):
            # Of several suspects only the first was running: it alone can have been the cause.
            counts = worker not in self.blamed
            for job_id in lease.jobs:
                job = self.jobs[job_id]
                if (lease.id, job_id) in self.died:
                    job.losses -= 1  # remembered already, by its own reason
                elif counts and job.losses > 0:
                    job.counted_losses += 1
                    self.blamed[worker] = job_id
                self._lose(job, lease.id)
            del self.leases[lease.id]

    def _lose(self, job: ModelJob, lease: int) -> None:
        self.tally.lost += 1
        job.losses += 1
        self.give_back(job, ended=job.cancel_requested or job.counted_losses >= MAX_LOSSES)
        if job.cancel_requested:
            job.place, job.ended_under, job.cancel_requested = "cancelled", lease, False
            self.tally.cancelled += 1
        elif job.counted_losses >= MAX_LOSSES:
            job.place, job.ended_under = "failed", lease
            self.tally.failed += 1
        else:
            self.arrivals += 1
            self.stand(job)
            job.flags |= SUSPECT
        self._moved(job.id)

    def count_loss(self, lease: int, job_id: int, *, counted: bool) -> None:
        """What ran an attempt died; the job stays in its lease until the worker lets it leave."""
        if (lease, job_id) not in self.died:
            self.died.add((lease, job_id))
            self.jobs[job_id].counted_losses += counted
            self.tally.lost += 1

    def purge(self, job_id: int) -> str:
        """Returns what it must answer."""
        job = self.jobs[job_id]
        if job.place == "running":
            return "running"
        if not job.finished:
            self.tally.cancelled += 1
            self._moved(job_id)
        for batch in self.batches.values():
            batch.members.discard(job_id)
        del self.jobs[job_id]
        self.keys = {key: [job for job in holders if job != job_id] for key, holders in self.keys.items()}
        self.blamed = {worker: blamed for worker, blamed in self.blamed.items() if blamed != job_id}
        return "purged"

    def prioritize(self, job_id: int, priority: int) -> str:
        """Returns what it must answer."""
        job = self.jobs[job_id]
        if job.place not in WAITING:
            return job.place
        job.priority = priority
        return "moved"

    def reschedule(self, job_id: int, delay: float) -> str:
        """Returns what it must answer."""
        job = self.jobs[job_id]
        if job.place not in WAITING:
            return job.place
        if delay > 0:
            job.place, job.due_at, job.holds = "scheduled", self.now + delay, set()
        elif job.place == "scheduled":
            self.arrivals += 1
            self.stand(job)
        return "moved"

    def release(self, lease: int) -> None:
        """A lease nobody executes is given back; nothing ran, nothing is counted."""
        for job_id in self.leases.pop(lease).jobs:
            self.arrivals += 1
            self.give_back(self.jobs[job_id], ended=False)
            self.stand(self.jobs[job_id])

    def retry(self, job_id: int) -> str:
        """An operator's retry; returns what it must answer."""
        job = self.jobs[job_id]
        self.arrivals += 1
        if job.place == "scheduled":
            self.stand(job)
            return "moved"
        if job.place not in ("failed", "cancelled"):
            return job.place
        job.failures += job.place == "failed"
        job.losses, job.counted_losses = 0, 0
        self.stand(job)
        self.blamed = {worker: blamed for worker, blamed in self.blamed.items() if blamed != job_id}
        job.flags &= ~SUSPECT
        self.tally.reopened += 1
        self._moved(job_id)
        if job.key is not None:
            if self.holder_of(job.key) in (None, job_id):
                self.keys[job.key].append(job_id)
            else:
                job.flags &= ~KEYED
        return "moved"

    def promote(self) -> None:
        # Several that are due at the same moment come in any order among themselves.
        for due_at in sorted({job.due_at for job in self.jobs.values() if job.place == "scheduled"}):
            self.arrivals += 1
            for job in self.jobs.values():
                if job.place == "scheduled" and job.due_at == due_at <= self.now:
                    self.stand(job)

    def _count(self, state: int) -> None:
        name = PLACE_OF[state]
        setattr(self.tally, name, getattr(self.tally, name) + 1)
