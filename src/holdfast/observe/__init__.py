"""The room that looks at the whole: the verdict, and what it is judged from."""

from __future__ import annotations

from holdfast.observe.history import (
    RANGES,
    Bucket,
    History,
    HistoryService,
    Moment,
    Percentiles,
    Range,
    percentiles,
    read_history,
    roll_up,
)
from holdfast.observe.inspection import Backend, Ending, Horizon, Inspected, Inspection, Setting, Table, Wait
from holdfast.observe.judging import depth, judge
from holdfast.observe.sight import COUNT_UP_TO, LaneSight, LogSight, QueueSight, Sight, WorkerSight, look
from holdfast.observe.verdict import (
    PATIENCE,
    Kind,
    Noun,
    Patience,
    Reason,
    Severity,
    Status,
    Subject,
    Verdict,
    unavailable,
)

__all__ = [
    "COUNT_UP_TO",
    "PATIENCE",
    "RANGES",
    "Backend",
    "Bucket",
    "Ending",
    "History",
    "HistoryService",
    "Horizon",
    "Inspected",
    "Inspection",
    "Kind",
    "LaneSight",
    "LogSight",
    "Moment",
    "Noun",
    "Patience",
    "Percentiles",
    "QueueSight",
    "Range",
    "Reason",
    "Setting",
    "Severity",
    "Sight",
    "Status",
    "Subject",
    "Table",
    "Verdict",
    "Wait",
    "WorkerSight",
    "depth",
    "judge",
    "look",
    "percentiles",
    "read_history",
    "roll_up",
    "unavailable",
]
