"""Every verb on every place, in any order, against the model; both laws and the counters after each step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.model.queue_model import LIMIT, MAX_LOSSES, ModelBatch, ModelJob, ModelLease, QueueModel
from tests.model.queue_server import Server
from tests.queue_calls import (
    BATCHED,
    CANCELLED,
    COMPLETED,
    FAILED,
    GATED,
    RETRY,
    RETURN,
    SNOOZE,
    SOLO,
    SUSPECT,
    lease_number,
)

QUEUES = ("p", "q")
PRIORITIES = (3, 5)
LEVELS = ([queue for _ in PRIORITIES for queue in QUEUES], [p for p in PRIORITIES for _ in QUEUES], [0] * 4)
MANY = 25
LANES = ("lane:x", "lane:y")
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)
pick = st.integers(min_value=0, max_value=10_000)


class QueueMachine(RuleBasedStateMachine):
    """Rules are the verbs; what they need is picked by number, so that shrinking keeps it."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.calls = server.calls
        self.model = QueueModel()
        self.drawn = 0
        self.begun_at = datetime.now(tz=UTC)

    # --- what the rules pick from

    def ids(self) -> list[int]:
        return sorted(self.model.jobs)

    def leases(self, *, known: bool = True) -> list[ModelLease]:
        return [lease for _, lease in sorted(self.model.leases.items()) if lease.known is known]

    def held(self) -> list[tuple[int, int]]:
        return [(lease.id, job) for lease in self.leases() for job in sorted(lease.jobs)]

    def next_lease(self, worker: int, room: int) -> int:
        base = lease_number(worker, self.drawn + 1)
        self.drawn += room + 1
        return base

    # --- into the queue

    @initialize()
    def begin(self) -> None:
        self.server.clear()
        for _ in range(2):
            self.new_worker()

    @precondition(lambda self: len(self.model.live) < 4)
    @rule()
    def new_worker(self) -> None:
        self.model.live.add(self.server.run(self.calls.register("w", QUEUES)))

    @rule(
        count=st.integers(1, 3),
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from(PRIORITIES),
        flags=st.sampled_from((0, 0, SOLO)),
        delay=st.sampled_from((None, None, 5.0, 60.0)),
        gates=st.sampled_from(((), (), ("lane:x",), ("lane:x", LIMIT), ("lane:y", LIMIT), (LIMIT,), (LIMIT,))),
    )
    def enqueue(
        self, count: int, queue: str, priority: int, flags: int, delay: float | None, gates: tuple[str, ...]
    ) -> None:
        where: dict[str, Any] = {"queue": queue, "priority": priority, "flags": flags, "delay_seconds": delay}
        for job in self.server.run(self.calls.enqueue(count, gates="\n".join(gates) or None, **where)):
            self.model.add(job, queue, priority, flags=flags, delay=delay, gates=gates)

    @rule()
    def look_at_the_gates(self) -> None:
        """Whoever may pass does, in the order of their lanes; nobody else; and nobody who may is left behind."""
        before = {job.id for job in self.model.jobs.values() if job.place == "blocked"}
        heads = {
            gate: self.model.first_of(gate).arrived
            for gate in ("lane:x", "lane:y")
            if any(job.place == "blocked" and gate in job.gates for job in self.model.jobs.values())
        }
        free = {gate for gate in heads if not self.model.holders(gate)}
        for _ in range(2):
            self.server.run(self.calls.admit(sweep=True))
        places = self.server.run(self.calls.places(sorted(before))) if before else {}
        slots = self.server.run(self.server.connection.fetch("select job_id, gate from holdfast.slot"))
        for job_id in before:
            job = self.model.jobs[job_id]
            held = {row["gate"] for row in slots if row["job_id"] == job_id}
            for gate in held - job.holds - {LIMIT}:
                assert gate in free, f"{job} took {gate}, which was held"
                assert job.arrived == heads[gate], f"{job} overtook in {gate}"
            job.place, job.holds = places[job_id], held
            assert job.place == "blocked" or held == set(job.gates)
        left = [job for job in self.model.jobs.values() if job.place == "blocked" and self.model.may_pass(job)]
        assert left == []

    @rule(keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=3), delay=st.sampled_from((None, None, 5.0)))
    def enqueue_keyed(self, keys: list[str], delay: float | None) -> None:
        answers = self.server.run(self.calls.enqueue_keyed(*keys, queue="q", delay_seconds=delay))
        for key, job in zip(keys, answers, strict=True):
            holder = self.model.holder_of(key)
            if holder is None:
                self.model.add(job, "q", key=key, delay=delay)
            else:
                assert job == holder, f"key {key} is held by {holder}, the answer was {job}"

    # --- a worker's calls

    @precondition(lambda self: self.model.live)
    @rule(
        worker=pick,
        limit=st.sampled_from((1, 2, 4, 40, 40)),
        known=st.sampled_from((True, True, True, False)),
        kept=st.sampled_from(((), LANES)),
    )
    def claim(self, worker: int, limit: int, *, known: bool, kept: tuple[str, ...] = ()) -> None:
        """``kept``: it comes back for lanes, whether they are free by now or not."""
        number = sorted(self.model.live)[worker % len(self.model.live)]
        in_line = self.server.run(self.in_line())[:limit]
        base = self.next_lease(number, limit)
        rows = self.server.run(self.calls.claim(number, base, limit, levels=LEVELS, kept=kept))
        self.claimed(rows, in_line, number, base, limit, known=known)

    @precondition(lambda self: any(self.model.jobs[job].flags & GATED for _, job in self.held()) and self.model.live)
    @rule(which=pick, limit=st.sampled_from((1, 2, 40)))
    def go_on(self, which: int, limit: int) -> None:
        """End a job with gates and claim with the same call: the next of its lane may come along."""
        gated = [(lease, job) for lease, job in self.held() if self.model.jobs[job].flags & GATED]
        lease, job_id = gated[which % len(gated)]
        number = sorted(self.model.live)[which % len(self.model.live)]
        in_line = self.server.run(self.in_line())[:limit]
        base = self.next_lease(number, limit)
        attempt = self.model.jobs[job_id].attempt
        rows = self.server.run(self.calls.go_on(lease, [job_id], number, base, limit, attempt=attempt, levels=LEVELS))
        assert 1 not in {row["kind"] for row in rows}, f"the end of {job_id} was refused"
        self.model.finish(lease, job_id, COMPLETED)
        self.claimed(rows, in_line, number, base, limit, known=True)

    def claimed(
        self, answer: list[Any], in_line: list[int], number: int, base: int, limit: int, *, known: bool
    ) -> None:
        rows = [row for row in answer if row["kind"] == 0]
        cancelled = [job for job in in_line if self.model.jobs[job].cancel_requested]
        expected = [job for job in in_line if job not in cancelled]
        straight = [self.model.jobs[row["job_id"]] for row in rows if row["seq"] < 0]
        self.go_straight(straight, limit)
        assert sorted(row["job_id"] for row in rows) == sorted([*expected, *(job.id for job in straight)])
        for job_id in cancelled:
            self.model.cancel_waiting(job_id)
        shares: dict[int, list[int]] = {}
        for row in rows:
            job = self.model.jobs[row["job_id"]]
            assert row["attempt"] == job.attempt, f"{job} was claimed as attempt {row['attempt']}"
            assert bool(row["flags"] & SUSPECT) == bool(job.flags & SUSPECT), f"{job} was claimed with {row['flags']}"
            assert (row["lease"] != base) == bool(job.flags & (SOLO | SUSPECT)), f"{job} in the wrong kind of lease"
            shares.setdefault(row["lease"], []).append(job.id)
        for lease, jobs in shares.items():
            assert lease == base or len(jobs) == 1
            self.model.claim(lease, number, jobs, known=known)

    def go_straight(self, jobs: list[ModelJob], limit: int) -> None:
        """Only who needs nothing but its lane, or of many its limit, is taken from before it."""
        for job in jobs:
            assert job.place == "blocked", f"{job} was taken straight from {job.place}"
            assert len(job.gates) == 1, f"{job} needs more than its gate"
            assert limit >= MANY or job.gates != (LIMIT,), f"{job} was taken by a worker that asked for few"
            assert self.model.may_pass(job), f"{job} went past its gate"
            job.holds = set(job.gates)
            job.place = "running"

    async def in_line(self) -> list[int]:
        rows = await self.calls.connection.fetch(
            "select job_id, queue from holdfast.ready where queue = any($1::text[])"  # callbacks stand elsewhere
            " order by priority, array_position($1::text[], queue::text), seq",
            list(QUEUES),
        )
        return [row["job_id"] for row in rows if row["queue"] not in self.model.paused]

    @precondition(lambda self: self.model.dead)
    @rule(worker=pick)
    def claim_of_a_dead_worker(self, worker: int) -> None:
        number = sorted(self.model.dead)[worker % len(self.model.dead)]
        rows = self.server.run(self.calls.claim(number, self.next_lease(number, 1), 1, levels=LEVELS))
        assert [row["kind"] for row in rows] == [2]

    @precondition(lambda self: self.held())
    @rule(which=pick, state=st.sampled_from((COMPLETED, COMPLETED, FAILED, CANCELLED)), ends=st.booleans())
    def finish(self, which: int, state: int, *, ends: bool) -> None:
        lease, job_id = self.held()[which % len(self.held())]
        job = self.model.jobs[job_id]
        last = len(self.model.leases[lease].jobs) == 1
        done = [lease] if ends and last else []
        company = [job_id] if job.flags & (GATED | BATCHED) else None
        refused = self.server.run(
            self.calls.finish(lease, [job_id], state, done=done, attempt=job.attempt, company=company)
        )
        assert refused == []
        self.model.finish(lease, job_id, state)
        if done:
            del self.model.leases[lease]

    @precondition(lambda self: self.held() and self.model.live)
    @rule(which=pick, queue=st.sampled_from(QUEUES))
    def finish_and_claim_many(self, which: int, queue: str) -> None:
        """What a busy worker does all the time, here with a line before the limit."""
        self.enqueue(3, queue, PRIORITIES[0], 0, None, (LIMIT,))
        self.look_at_the_gates()
        self.finish(which, COMPLETED, ends=False)
        self.claim(which, 40, known=True)

    @precondition(lambda self: any(job.ended_under for job in self.model.jobs.values() if job.finished))
    @rule(which=pick)
    def finish_again(self, which: int) -> None:
        """The answer was lost: mine already, so accepted, and nothing changes."""
        ended = [job for _, job in sorted(self.model.jobs.items()) if job.finished and job.ended_under]
        job = ended[which % len(ended)]
        assert self.server.run(self.calls.finish(job.ended_under, [job.id], again=True, company=[job.id])) == []

    @precondition(lambda self: self.held())
    @rule(which=pick, move=st.sampled_from((RETRY, SNOOZE, RETURN)), delay=st.sampled_from((0.0, 5.0)))
    def leave(self, which: int, move: int, delay: float) -> None:
        lease, job_id = self.held()[which % len(self.held())]
        job = self.model.jobs[job_id]
        delay = 0.0 if move == RETURN else delay
        attempt = job.attempt + (move == RETRY)
        where: dict[str, Any] = {"queue": job.queue, "priority": job.priority, "flags": job.flags}
        refused = self.server.run(
            self.calls.leave(lease, [job_id], move, delay_seconds=delay, attempt=attempt, **where)
        )
        assert refused == []
        self.model.leave(lease, job_id, move, delay)

    @precondition(lambda self: self.model.jobs and self.model.leases)
    @rule(which=pick, lease=pick, leaves=st.booleans())
    def write_without_holding(self, which: int, lease: int, *, leaves: bool) -> None:
        """A lease that does not hold the job: whatever it writes is refused."""
        lease_id = sorted(self.model.leases)[lease % len(self.model.leases)]
        job = self.model.jobs[self.ids()[which % len(self.ids())]]
        if self.model.holds(lease_id, job.id):
            return
        if leaves:
            exits = self.server.run(
                self.server.connection.fetchval(
                    "select count(*) from holdfast.lease_exit where lease = $1 and job_id = $2", lease_id, job.id
                )
            )
            refused = self.server.run(self.calls.leave(lease_id, [job.id], RETURN, attempt=job.attempt))
            assert refused == ([] if exits else [job.id])  # an exit repeated after a lost answer is accepted
        elif job.ended_under != lease_id or not job.finished:
            assert self.server.run(self.calls.finish(lease_id, [job.id], again=True)) == [job.id]

    @precondition(lambda self: self.leases(known=False))
    @rule(which=pick)
    def release_unknown(self, which: int) -> None:
        lease = self.leases(known=False)[which % len(self.leases(known=False))]
        self.server.run(self.calls.value("release_lease_v1", lease.id))
        self.model.release(lease.id)

    # --- death

    @precondition(lambda self: self.model.live)
    @rule(which=pick)
    def die(self, which: int) -> None:
        worker = sorted(self.model.live)[which % len(self.model.live)]
        assert self.server.run(self.calls.declare_dead(worker))
        self.model.live.discard(worker)
        self.model.dead.add(worker)

    @precondition(lambda self: self.model.dead)
    @rule()
    def rescue(self) -> None:
        """As the observer's sweep: everybody who is not live and is named by a lease."""
        for row in self.server.run(self.calls.rows("workers_to_rescue_v1")):
            assert row[0] in self.model.dead
            self.server.run(self.calls.rescue(row[0], MAX_LOSSES))
        for worker in self.model.dead:
            self.model.rescue(worker)
        troubles = self.server.run(self.calls.rows("audit_movers_v1"))
        assert [row["job_id"] for row in troubles if row["place"] == "lease"] == []

    # --- batches

    @precondition(lambda self: len(self.model.batches) < 5)
    @rule(count=st.integers(0, 3))
    def open_batch(self, count: int) -> None:
        batch, members = self.server.run(self.calls.open_batch(count))
        self.model.join(batch, members, "q")

    @precondition(lambda self: self.model.batches)
    @rule(which=pick)
    def join_batch(self, which: int) -> None:
        batch = self.batch(which)
        if batch.ended or batch.cancelled:
            with pytest.raises(asyncpg.PostgresError, match="is over"):
                self.server.run(self.calls.join(batch.id))
        else:
            self.model.join(batch.id, self.server.run(self.calls.join(batch.id)), "q")

    @precondition(lambda self: self.model.batches)
    @rule()
    def settle_batches(self) -> None:
        ended = sum(batch.ended for batch in self.model.batches.values())
        answer = self.server.run(self.calls.settle())
        self.model.settle()
        assert answer == sum(batch.ended for batch in self.model.batches.values()) - ended

    @precondition(lambda self: self.model.batches)
    @rule(which=pick)
    def cancel_batch(self, which: int) -> None:
        batch = self.batch(which)
        expected = "finished" if batch.ended else "cancelled already" if batch.cancelled else "cancelled"
        assert self.server.run(self.calls.value("cancel_batch_v1", batch.id, "test")) == expected
        if expected == "cancelled":
            batch.cancelled = batch.unsettled = True
            self.model.cancel_members(batch)

    def batch(self, which: int) -> ModelBatch:
        return self.model.batches[sorted(self.model.batches)[which % len(self.model.batches)]]

    # --- operators and time

    @precondition(lambda self: self.model.jobs)
    @rule(which=pick)
    def cancel(self, which: int) -> None:
        job = self.model.jobs[self.ids()[which % len(self.ids())]]
        waiting, running = job.place in ("ready", "scheduled", "blocked"), job.place == "running"
        answer = self.server.run(self.calls.cancel(job.id))
        expected = "cancelled" if waiting else "requested" if running else "finished"
        assert answer == {job.id: expected}, f"{job} answered {answer}"
        if waiting:
            self.model.cancel_waiting(job.id)
        job.cancel_requested = running

    @precondition(lambda self: self.model.jobs)
    @rule(which=pick)
    def operator_retry(self, which: int) -> None:
        job_id = self.ids()[which % len(self.ids())]
        assert self.server.run(self.calls.retry(job_id)) == self.model.retry(job_id)

    @precondition(lambda self: self.held())
    @rule(which=pick, counted=st.booleans())
    def lose(self, which: int, *, counted: bool) -> None:
        """A child process, or an engine, died under an attempt."""
        lease, job_id = self.held()[which % len(self.held())]
        self.model.count_loss(lease, job_id, counted=counted)
        losses = self.server.run(self.calls.count_loss(lease, job_id, counted=counted))
        assert losses is not None
        assert losses[1] == self.model.jobs[job_id].counted_losses

    @precondition(lambda self: self.model.jobs)
    @rule(which=pick)
    def purge(self, which: int) -> None:
        job_id = self.ids()[which % len(self.ids())]
        assert self.server.run(self.calls.purge(job_id)) == {job_id: self.model.purge(job_id)}
        if job_id not in self.model.jobs:
            assert self.server.run(self.calls.places([job_id])) == {}

    @precondition(lambda self: self.model.jobs)
    @rule(which=pick, priority=st.sampled_from(PRIORITIES))
    def prioritize(self, which: int, priority: int) -> None:
        job_id = self.ids()[which % len(self.ids())]
        answer = self.server.run(self.calls.prioritize(job_id, priority=priority))
        assert answer == {job_id: self.model.prioritize(job_id, priority)}

    @precondition(lambda self: self.model.jobs)
    @rule(which=pick, delay=st.sampled_from((0.0, 5.0)))
    def reschedule(self, which: int, delay: float) -> None:
        job_id = self.ids()[which % len(self.ids())]
        answer = self.server.run(self.calls.reschedule(job_id, delay_seconds=delay))
        assert answer == {job_id: self.model.reschedule(job_id, delay)}

    @precondition(lambda self: self.model.jobs)
    @rule(which=pick)
    def edit(self, which: int) -> None:
        job = self.model.jobs[self.ids()[which % len(self.ids())]]
        answer = self.server.run(self.calls.edit(job.id, "{}", "{}"))
        assert answer == (job.place if job.place in ("running", "completed") else "moved")

    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        paused = queue in self.model.paused
        verb = ("resume_queue_v1", queue) if paused else ("pause_queue_v1", queue, "test")
        assert self.server.run(self.calls.value(*verb)) is True
        self.model.paused ^= {queue}

    @rule(seconds=st.sampled_from((6.0, 30.0)))
    def time_passes(self, seconds: float) -> None:
        self.model.now += seconds
        self.server.move_clock(self.model.now)
        # Real time passes, too: a job due within what the example itself has taken may go either way.
        self.server.run(self.calls.promote(_ALWAYS))
        spent = (datetime.now(tz=UTC) - self.begun_at) / timedelta(seconds=1)
        assert spent < 5.0, "the example took so long that its delays are not distinct any more"
        self.model.promote()

    # --- the laws

    @invariant()
    def every_job_stands_in_one_place(self) -> None:
        assert self.server.run(self.calls.audit()) == []

    @invariant()
    def gates_are_kept(self) -> None:
        assert self.server.run(self.calls.gate_troubles()) == []

    @invariant()
    def places_are_those_of_the_model(self) -> None:
        if self.model.jobs:
            found = self.server.run(self.calls.places(self.ids()))
            assert found == {job.id: job.place for job in self.model.jobs.values()}

    @invariant()
    def batches_call_back_once(self) -> None:
        if self.model.batches:
            assert self.server.run(self.calls.rows("audit_batches_v1")) == []
            found = {batch: self.server.run(self.calls.callbacks(batch)) for batch in self.model.batches}
            assert found == {batch.id: batch.callbacks for batch in self.model.batches.values()}

    @invariant()
    def counters_are_the_truth(self) -> None:
        names = asdict(self.model.tally)
        sums = ", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in names)
        row = self.server.run(self.server.connection.fetchrow(f"select {sums} from holdfast.tally_delta"))
        assert dict(row) == names


SOAK = "HOLDFAST_TEST_SOAK_SECONDS" in os.environ


def model_examples(config: pytest.Config) -> int:
    """Enough for half a minute; the profile's own, larger number in a soak.

    A second server is asked whether it does the same, not once more whether the statements are right.
    """
    if SOAK:
        return max(100, settings().max_examples)
    return 40 if config.getoption("--only-with-server") else 100


@pytest.fixture
def queue_server(database_url: str) -> Iterator[Server]:
    server = Server(database_url)
    yield server
    server.close()


@pytest.mark.timeout(3600 if SOAK else 900)
def test_the_queue_is_what_the_model_says(queue_server: Server, pytestconfig: pytest.Config) -> None:
    run_state_machine_as_test(
        partial(QueueMachine, queue_server),  # type: ignore[arg-type]
        settings=settings(stateful_step_count=40, max_examples=model_examples(pytestconfig)),
    )
