"""Why does this job not run? What the claim looks at is looked at, and what holds the job is named, with its owner."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from holdfast.db import Database, load_statements
from holdfast.jobs import reasons as why
from holdfast.jobs.reasons import Reason, WorkerRef
from holdfast.jobs.states import FINAL, Place

_SQL = load_statements("holdfast.jobs", "why.sql")
_COUNTED_AHEAD: Final = 10_000
_JUST_CLAIMED_SECONDS: Final = 3.0
"""Workers tell once a second what they execute: of a job claimed just now nothing is known yet."""
_SILENT_SECONDS: Final = 15.0


class Why(Struct, frozen=True):
    """The answer: where the job stands, and every reason for it, the decisive one first."""

    job_id: int
    task: str
    queue: str
    place: str
    reasons: tuple[Reason, ...]

    @property
    def text(self) -> str:
        """As a person reads it: ``blocked: …``; further reasons on lines of their own."""
        first, *others = self.reasons
        told = first.text if first.text.startswith(self.place) else f"{self.place}: {first.text}"
        return "\n".join([told, *(f"  also: {reason.text}" for reason in others)])

    def without_messages(self) -> Why:
        """The same for whoever may not see arguments, which the message of an error may quote: its type alone."""
        return replace(
            self,
            reasons=tuple(
                replace(reason, error=reason.error and reason.error.partition(":")[0])
                if isinstance(reason, why.Finished)
                else reason
                for reason in self.reasons
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """As a program reads it."""
        return {
            "job": self.job_id,
            "task": self.task,
            "queue": self.queue,
            "place": self.place,
            "text": self.text,
            "reasons": [reason.as_dict() for reason in self.reasons],
        }


async def why_job(database: Database, job_id: int) -> Why | None:
    """Look, and judge; None: there is no such job."""
    row = await database.fetchrow(_SQL["why"], job_id)
    if row is None:
        return None
    facts = dict(row)
    for name in ("workers", "lockers", "error", "gate_holders"):
        facts[name] = None if facts[name] is None else msgspec.json.decode(facts[name])
    return Why(job_id, facts["task"], facts["queue"], facts["place"], tuple(judge(job_id, facts)))


def judge(job_id: int, facts: Mapping[str, Any]) -> list[Reason]:
    """Pure: from what the database says to the reasons, the decisive one first."""
    place = facts["place"]
    if place in FINAL:
        return [_finished(facts)]
    found: list[Reason] = []
    if facts["is_standby"] or facts["read_only"]:
        found.append(why.ServerReadOnly(is_standby=facts["is_standby"]))
    if place == Place.RUNNING:
        return [*found, *_leased(job_id, facts)]
    if facts["cancel_requested_at"] is not None:
        found.append(_cancelled(facts, running=False))
    if place == Place.SCHEDULED:
        found += _scheduled(facts)
    elif place == Place.BLOCKED:
        found += _blocked(facts)
    else:
        found += _ready(facts)
    return found


def _finished(facts: Mapping[str, Any]) -> Reason:
    error = facts["error"] or {}
    told = f"{error.get('type', '')}: {error.get('message', '')}".strip(": ").splitlines()
    return why.Finished(
        state=facts["place"],
        finished_at=facts["finished_at"],
        seconds_ago=facts["finished_seconds_ago"],
        error=told[0] if told else None,
    )


def _leased(job_id: int, facts: Mapping[str, Any]) -> list[Reason]:
    worker = WorkerRef(facts["worker"], facts["worker_name"] or "", facts["worker_host"] or "?")
    seconds = facts["running_seconds"]
    executing: list[int] = next((w["running"] for w in facts["workers"] or [] if w["id"] == facts["worker"]), [])
    found: list[Reason] = []
    if job_id not in executing and seconds > _JUST_CLAIMED_SECONDS:
        if facts["losses"]:
            behind = tuple(job for job in facts["other_suspects"] or () if job in executing)
            found.append(why.Quarantined(worker=worker, losses=facts["losses"], behind=behind))
        else:
            found.append(why.ClaimedAhead(worker=worker, seconds=seconds))
    else:
        found.append(
            why.Running(worker=worker, since=facts["started_at"], seconds=seconds, usual_seconds=facts["usual_seconds"])
        )
    if facts["cancel_requested_at"] is not None:
        found.append(_cancelled(facts, running=True))
    return found


def _cancelled(facts: Mapping[str, Any], *, running: bool) -> Reason:
    return why.CancelRequested(
        requested_at=facts["cancel_requested_at"], reason=facts["cancel_reason"], running=running
    )


def _scheduled(facts: Mapping[str, Any]) -> list[Reason]:
    seconds = facts["due_in_seconds"]
    if seconds > 0:
        after = facts["last_error"] if facts["attempt"] > 1 else None
        return [why.DueLater(due_at=facts["due_at"], seconds=seconds, after_error=after, attempt=facts["attempt"])]
    held = _held(facts)
    if held:
        return held
    return [why.NotPromoted(overdue_seconds=-seconds, live_workers=len(facts["workers"] or ()))]


def _blocked(facts: Mapping[str, Any]) -> list[Reason]:
    """What its gate says; and what will hold it once it has passed."""
    found = [*_held(facts), *_at_gate(facts)] or [
        why.NotAdmitted(gate=facts["gate"] or None, live_workers=len(facts["workers"] or ()))
    ]
    return [*found, *_unserved(facts)]


def _at_gate(facts: Mapping[str, Any]) -> list[Reason]:
    kind, _, rest = facts["gate"].partition(":")
    name, _, key = rest.partition(":")
    holders = tuple(_holder(holder) for holder in facts["gate_holders"] or ())
    ahead = _counted(facts["ahead_before_gate"])
    if kind == "lane" and holders:
        return [why.LaneHeld(lane=rest, holder=holders[0], **ahead)]
    if kind == "limit" and facts["slots_taken"] >= (facts["gate_capacity"] or 0):
        taken, capacity = facts["slots_taken"], facts["gate_capacity"] or 0
        return [why.SlotsFull(limit=name, key=key or None, capacity=capacity, taken=taken, holders=holders, **ahead)]
    opens_in = facts["gate_opens_in_seconds"]
    if kind == "rate" and facts["gate_capacity"] is not None and (opens_in or 0.0) > 0:
        return [
            why.RateSpent(
                rate=name,
                key=key or None,
                capacity=facts["gate_capacity"],
                per_seconds=facts["gate_per_seconds"],
                opens_in_seconds=opens_in,
                **ahead,
            )
        ]
    return []


def _holder(holder: Mapping[str, Any]) -> why.HolderRef:
    worker = holder["worker"]
    return why.HolderRef(
        job=holder["job"],
        place=holder["place"],
        worker=None if worker is None else WorkerRef(worker, holder["worker_name"] or "", holder["worker_host"] or "?"),
        seconds=holder["seconds"],
        usual_seconds=holder["usual_seconds"],
        due_in_seconds=holder["due_in_seconds"],
    )


def _counted(ahead: int) -> dict[str, Any]:
    return {"ahead": min(ahead, _COUNTED_AHEAD), "ahead_is_exact": ahead <= _COUNTED_AHEAD}


def _ready(facts: Mapping[str, Any]) -> list[Reason]:
    """What a claim would stumble over, in the order in which it would."""
    listening = [worker for worker in facts["workers"] or () if facts["queue"] in worker["queues"]]
    return [*_unserved(facts), *_held(facts)] or [_in_line(facts, listening)]


def _unserved(facts: Mapping[str, Any]) -> list[Reason]:
    """Nobody claims from its queue: on purpose, or because nobody listens."""
    live = facts["workers"] or []
    found: list[Reason] = []
    if facts["paused_at"] is not None:
        found.append(
            why.QueuePaused(
                queue=facts["queue"],
                since=facts["paused_at"],
                seconds=facts["paused_seconds"],
                by=facts["paused_by"],
                reason=facts["pause_reason"],
            )
        )
    if not any(facts["queue"] in worker["queues"] for worker in live):
        found.append(_nobody_listens(facts["queue"], live))
    return found


def _nobody_listens(queue: str, live: Sequence[Mapping[str, Any]]) -> Reason:
    heard = sorted({name for worker in live for name in worker["queues"]})
    near = next(iter(difflib.get_close_matches(queue, heard, n=1)), None)
    worker = next((_ref(worker) for worker in live if near in worker["queues"]), None)
    return why.NoWorkerListens(queue=queue, live_workers=len(live), nearest_queue=near, nearest_worker=worker)


def _held(facts: Mapping[str, Any]) -> list[Reason]:
    return [
        why.HeldByTransaction(
            pid=locker["pid"],
            application=locker["application"],
            user=locker["username"],
            client=locker["client"],
            state=locker["state"],
            seconds=locker["seconds"],
            query=locker["query"],
        )
        for locker in facts["lockers"] or []
    ]


def _in_line(facts: Mapping[str, Any], listening: Sequence[Mapping[str, Any]]) -> Reason:
    queue, refs = facts["queue"], tuple(_ref(worker) for worker in listening)
    ahead = _counted(facts["ahead"])
    silent = [worker["silent_seconds"] or 0.0 for worker in listening]
    if min(silent) > _SILENT_SECONDS:
        return why.SilentWorkers(queue=queue, workers=refs, silent_seconds=min(silent))
    if all(len(worker["running"]) >= worker["concurrency"] for worker in listening):
        return why.WorkersBusy(
            queue=queue,
            workers=refs,
            running=sum(len(worker["running"]) for worker in listening),
            concurrency=sum(worker["concurrency"] for worker in listening),
            **ahead,
        )
    return why.InLine(queue=queue, workers=refs, **ahead)


def _ref(worker: Mapping[str, Any]) -> WorkerRef:
    return WorkerRef(worker["id"], worker["name"], worker["host"])
