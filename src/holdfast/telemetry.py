"""What Holdfast says about itself: events with names from one table, and log lines.

A room calls ``emit(name, **fields)`` at the moment something happened. Whoever wants to know (metrics, traces, an
alert, a test) subscribes; nothing here knows an exporter. Every event is also a log line of its level, so that a
process without any subscriber still tells its story. Fields are plain values and never hold a job's arguments.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TextIO, TypeAlias

__all__ = ["EVENTS", "Event", "Subscriber", "configure_logging", "emit", "get_logger", "subscribe"]

Subscriber: TypeAlias = Callable[[str, Mapping[str, Any]], None]
LogFormat: TypeAlias = Literal["text", "json"]


class Event(NamedTuple):
    """One kind of thing that happens: its name, how loud its log line is, and what it means."""

    name: str
    level: int
    meaning: str


_DEBUG, _INFO, _WARNING, _ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR

# The table. The first word is the room, the second the thing, the last what happened to it.
_TABLE: Final = (
    Event("db.connected", _DEBUG, "the pools are open and the server answered"),
    Event("db.unavailable", _WARNING, "the server cannot be reached or is read-only; we try again"),
    Event("db.listener.started", _INFO, "wake-ups arrive by LISTEN, or by polling when a pooler swallows them"),
    Event("db.listener.lost", _WARNING, "the LISTEN connection broke; polling covers until it is back"),
    Event("db.listener.restored", _INFO, "the LISTEN connection is back and has registered again"),
    Event("db.migration.applied", _INFO, "one migration was committed"),
    Event("db.embedded.started", _INFO, "the embedded server accepts connections"),
    Event("db.embedded.stopped", _INFO, "the embedded server was shut down"),
    Event("events.projection.assigned", _INFO, "the partitions that this process holds of a projection have changed"),
    Event("events.projection.retried", _WARNING, "an event could not be handled and is tried again later"),
    Event("events.projection.parked", _ERROR, "a stream waits at an event until a person decides; others go on"),
    Event("events.projection.unparked", _INFO, "a parked stream was handled to its end; its events flow again"),
    Event("events.projection.stopped", _ERROR, "a partition stopped before an event until a person resumes it"),
    Event("events.projection.switched", _WARNING, "another model of a projection is live; the former is kept"),
    Event("events.watermark.stalled", _WARNING, "an open append holds readers of the log back; it is named"),
    Event("events.watermark.resumed", _INFO, "readers of the log go on after a stall"),
    Event("jobs.operation.started", _WARNING, "somebody started a verb on everything that a filter finds"),
    Event("jobs.operation.ended", _INFO, "an operation has finished, was cancelled, or was given up"),
    Event("jobs.queue.paused", _INFO, "workers claim nothing more from a queue"),
    Event("jobs.queue.resumed", _INFO, "workers claim from a queue again"),
    Event("schedules.declared", _INFO, "a schedule is new, or its code changed; it holds from now on"),
    Event("schedules.withdrawn", _WARNING, "the code no longer has a schedule; it is due no more"),
    Event("schedules.edited", _INFO, "somebody changed a schedule at runtime, or took the change back"),
    Event("schedules.paused", _INFO, "a schedule is due no more until it is resumed"),
    Event("schedules.resumed", _INFO, "a schedule is due again"),
    Event("schedules.occurrence.started", _INFO, "an occurrence has its job"),
    Event("schedules.occurrence.waiting", _INFO, "an occurrence waits for the job before it to end"),
    Event("schedules.occurrence.skipped", _INFO, "an occurrence has no job: overlap, or an unchanged source"),
    Event("schedules.occurrence.missed", _WARNING, "occurrences have no job: nobody was there when they were due"),
    Event("worker.started", _INFO, "a worker is registered and claims"),
    Event("worker.stopping", _INFO, "a worker claims nothing more and lets its jobs finish"),
    Event("worker.stopped", _INFO, "a worker has handed everything back and is gone"),
    Event("worker.fenced", _ERROR, "a worker was judged dead while it lived; what it writes is refused"),
    Event("worker.cut_off", _WARNING, "a worker cannot reach the database; it starts nothing and cancels what runs"),
    Event("worker.restored", _INFO, "a worker that was cut off is back under its number and goes on"),
    Event("worker.companion.ended", _WARNING, "a process beside the workers ended and is started again"),
    Event("worker.crashed", _ERROR, "the supervisor saw its worker process end unasked"),
    Event("worker.crash_loop", _ERROR, "a worker process ends again and again; somebody should look"),
    Event(
        "worker.declared_dead", _WARNING, "the observer, or a supervisor, found a worker dead; it claims nothing more"
    ),
    Event("worker.rescued", _WARNING, "the jobs of a dead worker were made runnable again"),
    Event("worker.job.started", _DEBUG, "an attempt begins"),
    Event("worker.job.completed", _DEBUG, "an attempt succeeded and its outcome is durable"),
    Event("worker.job.retried", _INFO, "an attempt failed and another one is due later"),
    Event("worker.job.snoozed", _DEBUG, "a handler asked to be run later; no attempt was used up"),
    Event("worker.job.failed", _ERROR, "the last attempt failed; nobody will try again"),
    Event("worker.job.cancelled", _INFO, "a running job gave way to a request to cancel"),
    Event("worker.job.lost", _WARNING, "what ran an attempt died under it: a child process, or an engine"),
    Event("worker.job.returned", _INFO, "a job was handed back unfinished, no attempt used up"),
)

EVENTS: Final[Mapping[str, Event]] = MappingProxyType({event.name: event for event in _TABLE})

_subscribers: tuple[Subscriber, ...] = ()
_subscribing = threading.Lock()


def get_logger(name: str) -> logging.Logger:
    """The logger of a room: ``get_logger("worker")`` is ``holdfast.worker``."""
    return logging.getLogger(f"holdfast.{name}")


def emit(name: str, **fields: Any) -> None:
    """Tell every subscriber, and the log, that something of the table happened.

    A subscriber that raises is reported in the log and harms neither the caller nor the other subscribers.
    """
    event = EVENTS.get(name)
    if event is None:
        raise LookupError(f"telemetry knows no event {name!r}: add it to the table in holdfast/telemetry.py")
    logger = get_logger(name.rpartition(".")[0])
    if logger.isEnabledFor(event.level):
        logger.log(event.level, "%s%s", name, _as_text(fields), extra={"event": name, "fields": fields})
    for subscriber in _subscribers:
        try:
            subscriber(name, fields)
        except Exception:  # noqa: BLE001  (code of others)
            get_logger("telemetry").exception("a subscriber failed on %s", name)


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Hear every event from now on, in the emitting thread. Returns the function that ends it."""
    global _subscribers  # noqa: PLW0603  (replaced whole, so that emit reads it without a lock)
    with _subscribing:
        _subscribers = (*_subscribers, subscriber)

    def unsubscribe() -> None:
        global _subscribers  # noqa: PLW0603
        with _subscribing:
            _subscribers = tuple(other for other in _subscribers if other is not subscriber)

    return unsubscribe


def configure_logging(level: str, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Write Holdfast's log to ``stream`` (stderr). For processes of ours: a library leaves logging to its host."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonLines() if log_format == "json" else logging.Formatter(_TEXT_LINE))
    root = logging.getLogger("holdfast")
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    root.propagate = False


_TEXT_LINE: Final = "%(asctime)s %(levelname)-7s %(name)s  %(message)s"


class _JsonLines(logging.Formatter):
    """One JSON object a line; the fields of an event stand beside its name."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = dict(getattr(record, "fields", {}))
        line |= {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if event := getattr(record, "event", None):
            line |= {"event": event, "message": event}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _as_text(fields: Mapping[str, Any]) -> str:
    return "".join(f" {key}={value}" for key, value in fields.items())
