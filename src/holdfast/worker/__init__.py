"""The process that works: its loop, its lifeline, its supervisor."""

from __future__ import annotations

from holdfast.worker.lifeline import Lifeline, ThreadLifeline
from holdfast.worker.pipe import PipeLifeline
from holdfast.worker.supervisor import Supervisor, SupervisorOptions

__all__ = ["Lifeline", "PipeLifeline", "Supervisor", "SupervisorOptions", "ThreadLifeline"]
