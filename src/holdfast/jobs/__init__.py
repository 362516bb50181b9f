"""Jobs: storage by places, the way into the queue, the hot path, and what people do to jobs."""

from __future__ import annotations

from holdfast.jobs.batches import Batch, Batches, BatchInfo
from holdfast.jobs.console import JobInfo, Jobs, TaskInfo
from holdfast.jobs.declare import declare_tasks
from holdfast.jobs.durations import seconds_of, span
from holdfast.jobs.effects import effects_suppressed, without_effects
from holdfast.jobs.execution import EXECUTORS, Execution
from holdfast.jobs.failures import FailureFolder, FailureGroup, Failures, FailureState
from holdfast.jobs.filter import FIELDS, JobFilter
from holdfast.jobs.gatekeeper import Gatekeeper
from holdfast.jobs.history import Moment
from holdfast.jobs.hot_path import HotPath, leave_apart, worker_of
from holdfast.jobs.job import Job, JobTransaction, as_current, current_job, enter_job, log_capture
from holdfast.jobs.keeping import Keeper, Promoter, audit, audit_gates, declare_partition_days
from holdfast.jobs.left_gates import LeftGates
from holdfast.jobs.limit_console import LimitConsole, LimitInfo
from holdfast.jobs.limits import Limit, Rate, agree
from holdfast.jobs.log_lines import LogLine
from holdfast.jobs.new_job import BATCHED, COMPANY, GATED, KEYED, SOLO, SUSPECT, JobId, NewJob
from holdfast.jobs.operations import (
    OPERATION_VERBS,
    OperationInfo,
    OperationPreview,
    Operations,
    Operator,
    VerbOptions,
)
from holdfast.jobs.outcome_text import encode_error, error_in_short, error_text, result_text
from holdfast.jobs.portal import Portal
from holdfast.jobs.producer import Producer, enqueue_on, enqueue_on_sync
from holdfast.jobs.queue_views import QueueView
from holdfast.jobs.queues import LeftToRun, QueueInfo, Queues
from holdfast.jobs.reasons import Reason
from holdfast.jobs.records import Answer, Claimed, Exit, Finished, Left, Outcome
from holdfast.jobs.refusals import actions, demand, refusal
from holdfast.jobs.reports import Progress, Reports
from holdfast.jobs.rescue import count_loss, rescue
from holdfast.jobs.retry import GiveUp, Retry, RetryAfter, Snooze
from holdfast.jobs.search import Found, Match, Matches
from holdfast.jobs.selection import Preview, Selection
from holdfast.jobs.signature import Signature
from holdfast.jobs.states import BEFORE_GATES, FINAL, GONE, MOVES, Place, Verb, legal_verbs
from holdfast.jobs.storable import why_unstorable
from holdfast.jobs.surroundings import surrounded
from holdfast.jobs.task import AppHome, Call, Host, Interception, Request, Task
from holdfast.jobs.unique import Unique
from holdfast.jobs.why import Why
from holdfast.jobs.work_done import ErrorGroup, QueueLeft, TaskWork, WorkDone, work_done

__all__ = [
    "BATCHED",
    "BEFORE_GATES",
    "COMPANY",
    "EXECUTORS",
    "FIELDS",
    "FINAL",
    "GATED",
    "GONE",
    "KEYED",
    "MOVES",
    "OPERATION_VERBS",
    "SOLO",
    "SUSPECT",
    "Answer",
    "AppHome",
    "Batch",
    "BatchInfo",
    "Batches",
    "Call",
    "Claimed",
    "ErrorGroup",
    "Execution",
    "Exit",
    "FailureFolder",
    "FailureGroup",
    "FailureState",
    "Failures",
    "Finished",
    "Found",
    "Gatekeeper",
    "GiveUp",
    "Host",
    "HotPath",
    "Interception",
    "Job",
    "JobFilter",
    "JobId",
    "JobInfo",
    "JobTransaction",
    "Jobs",
    "Keeper",
    "Left",
    "LeftGates",
    "LeftToRun",
    "Limit",
    "LimitConsole",
    "LimitInfo",
    "LogLine",
    "Match",
    "Matches",
    "Moment",
    "NewJob",
    "OperationInfo",
    "OperationPreview",
    "Operations",
    "Operator",
    "Outcome",
    "Place",
    "Portal",
    "Preview",
    "Producer",
    "Progress",
    "Promoter",
    "QueueInfo",
    "QueueLeft",
    "QueueView",
    "Queues",
    "Rate",
    "Reason",
    "Reports",
    "Request",
    "Retry",
    "RetryAfter",
    "Selection",
    "Signature",
    "Snooze",
    "Task",
    "TaskInfo",
    "TaskWork",
    "Unique",
    "Verb",
    "VerbOptions",
    "Why",
    "WorkDone",
    "actions",
    "agree",
    "as_current",
    "audit",
    "audit_gates",
    "count_loss",
    "current_job",
    "declare_partition_days",
    "declare_tasks",
    "demand",
    "effects_suppressed",
    "encode_error",
    "enqueue_on",
    "enqueue_on_sync",
    "enter_job",
    "error_in_short",
    "error_text",
    "leave_apart",
    "legal_verbs",
    "log_capture",
    "refusal",
    "rescue",
    "result_text",
    "seconds_of",
    "span",
    "surrounded",
    "why_unstorable",
    "without_effects",
    "work_done",
    "worker_of",
]
