"""Why a job does not run (or does, or has): one class a reason, with what it is about as fields and as a sentence."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from msgspec import Struct, to_builtins

from holdfast.jobs.durations import span


class WorkerRef(Struct, frozen=True):
    """Which worker."""

    id: int
    name: str
    host: str

    def __str__(self) -> str:
        return f"{self.name or f'worker {self.id}'} on {self.host}"


class Reason(Struct, frozen=True, kw_only=True):
    """What a job waits for, or what became of it: fields, a sentence, and a remedy where there is one."""

    code: ClassVar[str]

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        raise NotImplementedError

    @property
    def remedy(self) -> str | None:
        """What a person may do about it; None: nothing is wrong."""
        return None

    def as_dict(self) -> dict[str, Any]:
        """For programs: the code, the sentence, the remedy, and the fields."""
        return {
            "code": self.code,
            "text": self.text,
            "remedy": self.remedy,
            **to_builtins(self, builtin_types=(datetime,)),
        }


class Finished(Reason, frozen=True, kw_only=True):
    """It has ended."""

    code = "finished"
    state: str
    finished_at: datetime
    seconds_ago: float
    error: str | None

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        return f"{self.state} {span(self.seconds_ago)} ago" + (f": {self.error}" if self.error else "")


class Running(Reason, frozen=True, kw_only=True):
    """A worker executes it."""

    code = "running"
    worker: WorkerRef
    since: datetime
    seconds: float
    usual_seconds: float | None

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        usual = "" if self.usual_seconds is None else f", usual {span(self.usual_seconds)}"
        return f"running {span(self.seconds)} on {self.worker}{usual}"


class ClaimedAhead(Reason, frozen=True, kw_only=True):
    """A worker holds it and has not begun."""

    code = "claimed_ahead"
    worker: WorkerRef
    seconds: float

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        return f"claimed {span(self.seconds)} ago by {self.worker}, which runs others first"


class Quarantined(Reason, frozen=True, kw_only=True):
    """Its worker died under it once; such jobs run one at a time."""

    code = "quarantined"
    worker: WorkerRef
    losses: int
    behind: tuple[int, ...]

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        others = ", ".join(map(str, self.behind))
        behind = f", behind job {others}" if others else ""
        return (
            f"suspected of killing its worker (lost {self.losses} times): "
            f"{self.worker} runs one suspect at a time{behind}"
        )


class CancelRequested(Reason, frozen=True, kw_only=True):
    """Somebody wants it not to run."""

    code = "cancel_requested"
    requested_at: datetime
    reason: str | None
    running: bool

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        why = f" ({self.reason})" if self.reason else ""
        how = "its handler has not stopped yet" if self.running else "the next claim ends it"
        return f"asked to be cancelled{why}: {how}"


class DueLater(Reason, frozen=True, kw_only=True):
    """Its time has not come."""

    code = "due_later"
    due_at: datetime
    seconds: float
    after_error: str | None
    attempt: int

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        when = f"due in {span(self.seconds)}, at {self.due_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{when}: attempt {self.attempt}, after {self.after_error}" if self.after_error else when


class NotPromoted(Reason, frozen=True, kw_only=True):
    """It is due, and nobody has moved it into its queue."""

    code = "not_promoted"
    overdue_seconds: float
    live_workers: int

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        who = "no worker is live to move it" if not self.live_workers else "a worker is about to move it"
        return f"due since {span(self.overdue_seconds)}: {who} into its queue"

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return None if self.live_workers else "start one: holdfast worker --app …"


class QueuePaused(Reason, frozen=True, kw_only=True):
    """Nobody claims from its queue, on purpose."""

    code = "queue_paused"
    queue: str
    since: datetime
    seconds: float
    by: str | None
    reason: str | None

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        by = f" by {self.by}" if self.by else ""
        why = f": {self.reason}" if self.reason else ""
        return f'queue "{self.queue}" is paused since {span(self.seconds)}{by}{why}'

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return f"holdfast queue resume {self.queue}"


class NoWorkerListens(Reason, frozen=True, kw_only=True):
    """No live worker serves its queue."""

    code = "no_worker_listens"
    queue: str
    live_workers: int
    nearest_queue: str | None
    nearest_worker: WorkerRef | None

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        told = f'no worker listens to queue "{self.queue}"'
        if not self.live_workers:
            return f"{told}: no worker is live"
        if self.nearest_queue is None:
            others = "1 live worker serves" if self.live_workers == 1 else f"{self.live_workers} live workers serve"
            return f"{told}: {others} others"
        return f'{told} (did you mean "{self.nearest_queue}"? worker {self.nearest_worker} does)'

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return f"start one: holdfast worker --app … --queues {self.queue}"


class HeldByTransaction(Reason, frozen=True, kw_only=True):
    """A transaction that is open holds it back: its duplicate was enqueued there, and it shall see that data."""

    code = "held_by_transaction"
    pid: int
    application: str | None
    user: str | None
    client: str | None
    state: str | None
    seconds: float
    query: str | None

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        who = f"{self.application or 'a session'} (pid {self.pid}, user {self.user}, {self.client or 'local'})"
        return f"held by the open transaction of {who}: {self.state}, open for {span(self.seconds)}"

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return f"it ends with that transaction; to end it: select pg_terminate_backend({self.pid})"


class WorkersBusy(Reason, frozen=True, kw_only=True):
    """Those who listen have their hands full."""

    code = "workers_busy"
    queue: str
    workers: tuple[WorkerRef, ...]
    running: int
    concurrency: int
    ahead: int
    ahead_is_exact: bool

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        who = ", ".join(str(worker) for worker in self.workers[:3])
        more = f" and {len(self.workers) - 3} others" if len(self.workers) > 3 else ""
        return f"{who}{more} run {self.running} jobs of {self.concurrency} at a time; {_ahead(self)}"

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return "wait, start more workers, or raise --concurrency"


class SilentWorkers(Reason, frozen=True, kw_only=True):
    """Those who listen have not been heard of for a while."""

    code = "silent_workers"
    queue: str
    workers: tuple[WorkerRef, ...]
    silent_seconds: float

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        who = ", ".join(str(worker) for worker in self.workers[:3])
        return f'who listens to queue "{self.queue}" has been silent for {span(self.silent_seconds)}: {who}'

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return "look whether the process is stopped or cut off; others take over once it counts as dead"


class InLine(Reason, frozen=True, kw_only=True):
    """Nothing holds it: it is about to be claimed."""

    code = "in_line"
    queue: str
    workers: tuple[WorkerRef, ...]
    ahead: int
    ahead_is_exact: bool

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        who = ", ".join(str(worker) for worker in self.workers[:3])
        return f"nothing holds it: {who} listens and has room; {_ahead(self)}"


class ServerReadOnly(Reason, frozen=True, kw_only=True):
    """The server accepts no writes, so nobody can claim anything."""

    code = "server_read_only"
    is_standby: bool

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        kind = "is a standby" if self.is_standby else "accepts no writes"
        return f"the server {kind}: nothing can be claimed here"

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return "point HOLDFAST_DATABASE_URL at the primary, or list all hosts in it"


class HolderRef(Struct, frozen=True, kw_only=True):
    """A job that holds a slot, and where it stands."""

    job: int
    place: str
    worker: WorkerRef | None
    seconds: float | None
    usual_seconds: float | None
    due_in_seconds: float | None

    def __str__(self) -> str:
        if self.place == "running" and self.worker is not None:
            usual = "" if self.usual_seconds is None else f", usual {span(self.usual_seconds)}"
            return f"job {self.job} (running {span(self.seconds)} on {self.worker}{usual})"
        if self.due_in_seconds is not None:
            return f"job {self.job} ({self.place}, due in {span(max(self.due_in_seconds, 0.0))})"
        return f"job {self.job} ({self.place})"


class LaneHeld(Reason, frozen=True, kw_only=True):
    """Another job of its lane comes first."""

    code = "lane_held"
    lane: str
    holder: HolderRef
    ahead: int
    ahead_is_exact: bool

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        return f'lane "{self.lane}" is held by {self.holder}' + (f"; {_ahead(self)}" if self.ahead else "")

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return f"holdfast job why {self.holder.job}"


class SlotsFull(Reason, frozen=True, kw_only=True):
    """As many jobs as its limit allows have passed."""

    code = "slots_full"
    limit: str
    key: str | None
    capacity: int
    taken: int
    holders: tuple[HolderRef, ...]
    ahead: int
    ahead_is_exact: bool

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        key = f' for "{self.key}"' if self.key else ""
        if not self.capacity:
            return f'limit "{self.limit}"{key} is set to 0: nobody passes'
        who = ", ".join(str(holder) for holder in self.holders[:3])
        more = f" and {self.taken - 3} others" if self.taken > 3 else ""
        return (
            f'limit "{self.limit}"{key}: {self.taken} of {self.capacity} slots are held by {who}{more}; {_ahead(self)}'
        )

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return None if self.capacity else "raise the limit"


class RateSpent(Reason, frozen=True, kw_only=True):
    """As many jobs as its rate allows have started within its window."""

    code = "rate_spent"
    rate: str
    key: str | None
    capacity: int
    per_seconds: float
    opens_in_seconds: float | None
    ahead: int
    ahead_is_exact: bool

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        key = f' for "{self.key}"' if self.key else ""
        when = "" if self.opens_in_seconds is None else f", opens in {span(max(self.opens_in_seconds, 0.0))}"
        return (
            f'rate "{self.rate}"{key}: {self.capacity} in {span(self.per_seconds)} have started{when}; {_ahead(self)}'
        )


class NotAdmitted(Reason, frozen=True, kw_only=True):
    """It stands before a gate that has room: a worker is to let it in."""

    code = "not_admitted"
    gate: str | None
    live_workers: int

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        where = f"before {self.gate}" if self.gate else "before its gates"
        return f"{where}: " + (
            "a worker is about to let it in" if self.live_workers else "no worker is live to let it in"
        )

    @property
    def remedy(self) -> str | None:
        """What a person may do about it."""
        return None if self.live_workers else "start one: holdfast worker --app …"


def _ahead(reason: WorkersBusy | InLine | LaneHeld | SlotsFull | RateSpent) -> str:
    if not reason.ahead:
        return "no job is before it"
    count = str(reason.ahead) if reason.ahead_is_exact else f"more than {reason.ahead}"
    return f"{count} jobs are before it" if reason.ahead > 1 else "1 job is before it"
