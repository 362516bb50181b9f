"""The event log: append, the order in which it may be read, reading; projections are in a room inside this one."""

from __future__ import annotations

from holdfast.events import projections

__all__ = ["projections"]
