"""Jobs: storage by places, the way into the queue, the hot path, and what people do to jobs."""

from __future__ import annotations

from holdfast.jobs.console import JobInfo, Jobs, QueueInfo, Queues
from holdfast.jobs.declare import declare_tasks
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.effects import effects_suppressed, without_effects
from holdfast.jobs.hot_path import HotPath, leave_apart, worker_of
from holdfast.jobs.job import Job, JobTransaction, as_current, current_job, job_holder
from holdfast.jobs.keeping import Keeper, Promoter, audit, declare_partition_days
from holdfast.jobs.new_job import BATCHED, COMPANY, GATED, KEYED, SOLO, SUSPECT, JobId, NewJob
from holdfast.jobs.outcome_text import encode_error, error_text, result_text
from holdfast.jobs.portal import Portal
from holdfast.jobs.producer import Producer, enqueue_on, enqueue_on_sync
from holdfast.jobs.records import Batch, Claimed, Exit, Finished, Left, Outcome
from holdfast.jobs.rescue import rescue
from holdfast.jobs.retry import GiveUp, Retry, RetryAfter, Snooze
from holdfast.jobs.states import FINAL, MOVES, Place, Verb, legal_verbs
from holdfast.jobs.storable import why_unstorable
from holdfast.jobs.surroundings import surrounded
from holdfast.jobs.task import Host, Interception, Request, Task
from holdfast.jobs.work_done import ErrorGroup, QueueLeft, TaskWork, WorkDone, work_done

__all__ = [
    "BATCHED",
    "COMPANY",
    "FINAL",
    "GATED",
    "KEYED",
    "MOVES",
    "SOLO",
    "SUSPECT",
    "Batch",
    "Claimed",
    "ErrorGroup",
    "Exit",
    "Finished",
    "GiveUp",
    "Host",
    "HotPath",
    "Interception",
    "Job",
    "JobId",
    "JobInfo",
    "JobTransaction",
    "Jobs",
    "Keeper",
    "Left",
    "NewJob",
    "Outcome",
    "Place",
    "Portal",
    "Producer",
    "Promoter",
    "QueueInfo",
    "QueueLeft",
    "Queues",
    "Request",
    "Retry",
    "RetryAfter",
    "Snooze",
    "Task",
    "TaskWork",
    "Verb",
    "WorkDone",
    "as_current",
    "audit",
    "current_job",
    "declare_partition_days",
    "declare_tasks",
    "effects_suppressed",
    "encode_error",
    "enqueue_on",
    "enqueue_on_sync",
    "error_text",
    "job_holder",
    "leave_apart",
    "legal_verbs",
    "rescue",
    "result_text",
    "seconds_of",
    "surrounded",
    "why_unstorable",
    "without_effects",
    "work_done",
    "worker_of",
]
