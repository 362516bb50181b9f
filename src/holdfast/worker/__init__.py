"""The process that works: its loop, its lifeline, its supervisor."""

from __future__ import annotations

from holdfast.worker.lifeline import Lifeline, ThreadLifeline
from holdfast.worker.options import AwsBatchOptions, Failure, Report, WorkerOptions
from holdfast.worker.pipe import PipeLifeline
from holdfast.worker.processes import StartedChild, start_child
from holdfast.worker.supervision import SupervisorOptions
from holdfast.worker.supervisor import Supervisor
from holdfast.worker.worker import Worker

__all__ = [
    "AwsBatchOptions",
    "Failure",
    "Lifeline",
    "PipeLifeline",
    "Report",
    "StartedChild",
    "Supervisor",
    "SupervisorOptions",
    "ThreadLifeline",
    "Worker",
    "WorkerOptions",
    "start_child",
]
