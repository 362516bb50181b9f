"""The conditions of the verdict about jobs: queues, workers, lanes, failures, schedules. Sight in, reasons out."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterator

from holdfast.jobs import span
from holdfast.observe.judging_log import judge_log, judge_projections, judge_server
from holdfast.observe.sight import FailureSight, QueueSight, Sight, WorkerSight
from holdfast.observe.verdict import PATIENCE, Kind, Noun, Patience, Reason, Severity, Subject, Verdict, verdict_of
from holdfast.observe.words import many, number, some, typed

_MOST_NAMED = 3


def judge(sight: Sight, patience: Patience = PATIENCE) -> Verdict:
    """The verdict about everything that one look found."""
    reasons = [
        *judge_server(sight, patience),
        *_queues(sight, patience),
        *_paused(sight),
        *_lanes(sight, patience),
        *_workers(sight, patience),
        *_failures(sight, patience),
        *_schedules(sight, patience),
        *judge_log(sight, patience),
        *judge_projections(sight, patience),
    ]
    return verdict_of(reasons)


def _queues(sight: Sight, patience: Patience) -> Iterator[Reason]:
    """Queues in which jobs wait. When nobody works on any of them, that is critical."""
    waiting = [queue for queue in sight.queues if queue.waits]
    stuck = [queue for queue in waiting if not _serving(sight, queue, patience)]
    severity = Severity.CRITICAL if stuck and len(stuck) == len(waiting) else Severity.PROBLEM
    for queue in stuck:
        if not sight.listeners(queue.name):
            yield _nobody_listens(sight, queue, severity)
        elif (queue.oldest_seconds or 0) > patience.idle:
            yield _not_claiming(sight, queue, severity)
    for queue in waiting:
        if queue not in stuck and (queue.oldest_seconds or 0) > patience.wait:
            yield _slow(sight, queue)


def _serving(sight: Sight, queue: QueueSight, patience: Patience) -> list[WorkerSight]:
    """The workers that listen to a queue and ask for jobs."""
    return [worker for worker in sight.listeners(queue.name) if not _is_stuck(worker, patience)]


def _is_stuck(worker: WorkerSight, patience: Patience) -> bool:
    return (worker.asked_seconds or 0.0) > patience.idle


def _nobody_listens(sight: Sight, queue: QueueSight, severity: Severity) -> Reason:
    told = f"queue {queue.name}: {depth(queue)}, no worker listens"
    heard = sorted({name for worker in sight.live for name in worker.queues})
    near = difflib.get_close_matches(queue.name, heard, n=1)
    remedy = f"start a worker for it: holdfast worker --queues {typed(queue.name)}"
    if not heard:
        told += " (no worker is live)"
        remedy = f"start a worker: holdfast worker --app … --queues {typed(queue.name)}"
    elif near:
        told += f' (did you mean "{near[0]}"? worker {sight.listeners(near[0])[0].title} does)'
        remedy = f"enqueue to {near[0]} instead, or {remedy}"
    else:
        told += f" (workers listen to {some(heard, _MOST_NAMED)})"
    return Reason(Kind.NOBODY_LISTENS, severity, Subject(Noun.QUEUE, queue.name), told, remedy)


def _not_claiming(sight: Sight, queue: QueueSight, severity: Severity) -> Reason:
    longest = min(sight.listeners(queue.name), key=lambda worker: worker.asked_seconds or 0.0)
    return Reason(
        Kind.NOT_CLAIMING,
        severity,
        Subject(Noun.QUEUE, queue.name),
        f"queue {queue.name}: {depth(queue)}, its workers are alive and none of them asks for jobs "
        f"({longest.title} for {span(longest.asked_seconds)})",
        f"look at the log of {longest.title} on {longest.host}, and restart it",
    )


def _slow(sight: Sight, queue: QueueSight) -> Reason:
    listeners = sight.listeners(queue.name)
    slots, taken = sum(worker.concurrency for worker in listeners), sum(len(worker.running) for worker in listeners)
    full = taken >= slots
    held = f", all {slots} slots of its workers are taken" if full else ", its workers do not keep up"
    return Reason(
        Kind.NO_ROOM if full else Kind.SLOW,
        Severity.PROBLEM,
        Subject(Noun.QUEUE, queue.name),
        f"queue {queue.name}: {depth(queue)}{held}",
        "look at what runs: holdfast job list --state running; or start more workers",
    )


def _paused(sight: Sight) -> Iterator[Reason]:
    for queue in sight.queues:
        if queue.paused_at is None or not queue.ready:
            continue
        ago = span((sight.at - queue.paused_at).total_seconds())
        by = f" by {queue.paused_by}" if queue.paused_by else ""
        why = f" ({queue.pause_reason})" if queue.pause_reason else ""
        yield Reason(
            Kind.PAUSED,
            Severity.PROBLEM,
            Subject(Noun.QUEUE, queue.name),
            f"queue {queue.name}: paused {ago} ago{by}{why}, {depth(queue)}",
            f"when the cause is gone: holdfast queue resume {typed(queue.name)}",
        )


def _lanes(sight: Sight, patience: Patience) -> Iterator[Reason]:
    for lane in sight.lanes:
        usual = lane.usual_seconds
        if lane.seconds < max(patience.lane, 5 * (usual or 0.0)):
            continue
        known = "" if usual is None else f", usual {span(usual)}"
        wait = "waits" if lane.waiting == 1 else "wait"
        yield Reason(
            Kind.LANE_HELD,
            Severity.PROBLEM,
            Subject(Noun.JOB, lane.job),
            f'lane "{lane.lane}": {many(lane.waiting, "job")} {wait} behind job {lane.job} ({lane.task}, '
            f"running {span(lane.seconds)} on {lane.worker_name}{known})",
            f'see why: holdfast job why {lane.job}; end it: holdfast job cancel {lane.job} --reason "…"',
        )


def _workers(sight: Sight, patience: Patience) -> Iterator[Reason]:
    """Workers that ended though nobody stopped them, and workers whose process lives and whose loop does not."""
    ended = [worker for worker in sight.workers if worker.state != "live" and worker.end_reason != "stopped"]
    ended.sort(key=lambda worker: worker.ended_seconds or 0.0)
    for worker in ended[:_MOST_NAMED]:
        more = len(ended) - _MOST_NAMED if worker is ended[min(len(ended), _MOST_NAMED) - 1] else 0
        others = f", and {many(more, 'more worker')} before it" if more > 0 else ""
        left = "" if sight.live else "; no worker is live any more"
        yield Reason(
            Kind.WORKER_ENDED,
            Severity.PROBLEM,
            Subject(Noun.WORKER, str(worker.id)),
            f"worker {worker.title} on {worker.host} ended {span(worker.ended_seconds)} ago: "
            f"{worker.end_reason}{others}{left}",
            "what it ran is put back by itself; look at its log and the machine's for what killed it"
            + ("" if sight.live else ", and start one: holdfast worker --app …"),
        )
    for worker in sight.unheard:
        yield Reason(
            Kind.WORKER_SILENT,
            Severity.PROBLEM,
            Subject(Noun.WORKER, str(worker.id)),
            f"worker {worker.title} on {worker.host} (pid {worker.pid}) has not been heard of for "
            f"{span(worker.silent_seconds)}" + ("" if sight.live else "; no worker is live any more"),
            "another worker declares it dead and puts back what it ran; start one if there is none: "
            "holdfast worker --app …",
        )
    for worker in sight.live:
        if _is_stuck(worker, patience):
            holds = f" (it runs job {some([str(job) for job in worker.running], 2)})" if worker.running else ""
            yield Reason(
                Kind.NOT_CLAIMING,
                Severity.PROBLEM,
                Subject(Noun.WORKER, str(worker.id)),
                f"worker {worker.title} on {worker.host} is alive and has not asked for jobs for "
                f"{span(worker.asked_seconds)}{holds}",
                "a handler may block its event loop (declare it as a plain function to have it run in a thread); "
                "restart the worker",
            )


def _failures(sight: Sight, patience: Patience) -> Iterator[Reason]:
    kinds: dict[str, list[FailureSight]] = defaultdict(list)
    for failure in sight.failures:
        kinds[failure.queue].append(failure)
    for queue in sight.queues:
        attempts = queue.completed + queue.failed + queue.retried
        broken = queue.failed + queue.retried
        ended = queue.completed + queue.failed
        too_many = broken > patience.retried_share * attempts or queue.failed > patience.failed_share * ended
        if broken < patience.failures or not too_many:
            continue
        worst = max(kinds[queue.name], key=lambda failure: failure.count, default=None)
        yield Reason(
            Kind.FAILING,
            Severity.PROBLEM,
            Subject(Noun.QUEUE, queue.name),
            f"queue {queue.name}: {number(broken)} of {number(attempts)} attempts failed in 5 min"
            + (f", mostly {worst.error} in {worst.task}" if worst else ""),
            f"look at one: holdfast job show {worst.job}" if worst else "holdfast job list --state failed",
            worst.message if worst else None,
        )


def _schedules(sight: Sight, patience: Patience) -> Iterator[Reason]:
    for schedule in sight.schedules:
        if schedule.overdue_seconds <= patience.overdue:
            continue
        nobody = "" if sight.live else " (no worker is live)"
        yield Reason(
            Kind.SCHEDULE_MISSED,
            Severity.PROBLEM,
            Subject(Noun.SCHEDULE, schedule.name),
            f"schedule {schedule.name}: due {span(schedule.overdue_seconds)} ago, "
            f"and no worker has decided about it{nobody}",
            f"start a worker of its application; then: holdfast schedule show {typed(schedule.name)}",
        )


def depth(queue: QueueSight) -> str:
    """``1 204 ready, oldest 6 min``."""
    exact = "" if queue.ready_is_exact else "more than "
    return f"{exact}{number(queue.ready)} ready, oldest {span(queue.oldest_seconds)}"
