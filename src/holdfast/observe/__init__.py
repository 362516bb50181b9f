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
from holdfast.observe.pulse import PULSE_TOPICS, Pulse, feel_pulse
from holdfast.observe.sight import (
    COUNT_UP_TO,
    SILENT_SECONDS,
    LaneSight,
    LogSight,
    QueueSight,
    Sight,
    WorkerSight,
    look,
)
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
from holdfast.observe.workers import HeldJob, WorkerInfo, Workers

__all__ = [
    "COUNT_UP_TO",
    "PATIENCE",
    "PULSE_TOPICS",
    "RANGES",
    "SILENT_SECONDS",
    "Backend",
    "Bucket",
    "Ending",
    "HeldJob",
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
    "Pulse",
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
    "WorkerInfo",
    "WorkerSight",
    "Workers",
    "depth",
    "feel_pulse",
    "judge",
    "look",
    "percentiles",
    "read_history",
    "roll_up",
    "unavailable",
]
