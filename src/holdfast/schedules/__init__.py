"""Schedules: when to enqueue which job, and what became of every due moment."""

from __future__ import annotations

from holdfast.schedules.console import BackfillStep, Occurrence, ScheduleInfo, Schedules
from holdfast.schedules.declaration import Declarations, Schedule, ScheduleOptions, declare_schedules
from holdfast.schedules.plan import Misfire, Overlap, Plan
from holdfast.schedules.probe import FileProbe, HttpProbe, Probe
from holdfast.schedules.scheduler import Scheduler
from holdfast.schedules.timetable import Cron, Every, Timetable, occurrences

__all__ = [
    "BackfillStep",
    "Cron",
    "Declarations",
    "Every",
    "FileProbe",
    "HttpProbe",
    "Misfire",
    "Occurrence",
    "Overlap",
    "Plan",
    "Probe",
    "Schedule",
    "ScheduleInfo",
    "ScheduleOptions",
    "Scheduler",
    "Schedules",
    "Timetable",
    "declare_schedules",
    "occurrences",
]
