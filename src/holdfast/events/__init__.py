"""The event log: append, the order in which it may be read, reading; projections are in a room inside this one."""

from __future__ import annotations

from holdfast.events import projections
from holdfast.events.appending import AppendingInTransaction, AppendOptions
from holdfast.events.conditions import Condition, Decision, Match
from holdfast.events.event import Append, Appended, Event, ExpectedVersion, RecordedEvent, Winner
from holdfast.events.log import EventLog, LogState, StreamInfo
from holdfast.events.projections import Delivery
from holdfast.events.reading import Page, Scope, event_of
from holdfast.events.snapshots import Snapshot, Snapshots
from holdfast.events.ticker import Holder, Tick, Ticker, TickerService
from holdfast.events.types import EventType, EventTypes, Upcaster

__all__ = [
    "Append",
    "AppendOptions",
    "Appended",
    "AppendingInTransaction",
    "Condition",
    "Decision",
    "Delivery",
    "Event",
    "EventLog",
    "EventType",
    "EventTypes",
    "ExpectedVersion",
    "Holder",
    "LogState",
    "Match",
    "Page",
    "RecordedEvent",
    "Scope",
    "Snapshot",
    "Snapshots",
    "StreamInfo",
    "Tick",
    "Ticker",
    "TickerService",
    "Upcaster",
    "Winner",
    "event_of",
    "projections",
]
