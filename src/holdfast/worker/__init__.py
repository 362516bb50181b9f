"""The process that works: its loop, its lifeline, its supervisor."""

from __future__ import annotations

from holdfast.worker.background import Background
from holdfast.worker.lifeline import Lifeline, ThreadLifeline
from holdfast.worker.options import Failure, Report, WorkerOptions
from holdfast.worker.pipe import PipeLifeline
from holdfast.worker.service import Service, Surroundings
from holdfast.worker.supervisor import Supervisor, SupervisorOptions
from holdfast.worker.worker import Worker

__all__ = [
    "Background",
    "Failure",
    "Lifeline",
    "PipeLifeline",
    "Report",
    "Service",
    "Supervisor",
    "SupervisorOptions",
    "Surroundings",
    "ThreadLifeline",
    "Worker",
    "WorkerOptions",
]
