"""The process that works: its loop, its lifeline, its supervisor."""

from __future__ import annotations

from holdfast.worker.background import Background
from holdfast.worker.companion import Companion
from holdfast.worker.lifeline import Lifeline, ThreadLifeline
from holdfast.worker.options import AwsBatchOptions, Failure, Report, WorkerOptions
from holdfast.worker.pipe import PipeLifeline
from holdfast.worker.processes import StartedChild, start_child
from holdfast.worker.service import Service, Surroundings
from holdfast.worker.supervision import SupervisorOptions
from holdfast.worker.supervisor import Supervisor
from holdfast.worker.worker import Worker

__all__ = [
    "AwsBatchOptions",
    "Background",
    "Companion",
    "Failure",
    "Lifeline",
    "PipeLifeline",
    "Report",
    "Service",
    "StartedChild",
    "Supervisor",
    "SupervisorOptions",
    "Surroundings",
    "ThreadLifeline",
    "Worker",
    "WorkerOptions",
    "start_child",
]
