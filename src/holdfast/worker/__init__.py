"""The process that works: its loop, its lifeline, its supervisor."""

from __future__ import annotations

from holdfast.worker.lifeline import Lifeline, ThreadLifeline

__all__ = ["Lifeline", "ThreadLifeline"]
