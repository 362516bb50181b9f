"""Everything as Prometheus reads it: ``/metrics`` and ``holdfast metrics``.

These are figures of the whole database, so they are asked of one place (one API process, or the command in a timer):
summed over several they would count several times. Labels are names that an application declares, never ids.
Needs the package ``prometheus-client`` (extra ``api``).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any, Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from holdfast.clock import monotonic
from holdfast.db import Database, load_statements
from holdfast.events import projections
from holdfast.observe.inspection import Table, read_tables
from holdfast.observe.judging import judge
from holdfast.observe.sight import Sight, look
from holdfast.observe.verdict import Status

_SQL = load_statements("holdfast.observe", "metrics.sql")
_FRESH_SECONDS: Final = 5.0

Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily | InfoMetricFamily


class Figures(Struct, frozen=True):
    """What one scrape is made of."""

    sight: Sight
    totals: Sequence[Mapping[str, Any]]
    database: Mapping[str, Any]
    schedules: Sequence[Mapping[str, Any]]
    tables: Sequence[Table]


class Metrics:
    """The text, made anew at most every five seconds however many ask."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._text = b""
        self._made_at: float | None = None
        self._making = asyncio.Lock()

    async def text(self, own: Mapping[str, tuple[str, float]] | None = None) -> bytes:
        """Prometheus text, version 0.0.4. ``own``: gauges of this process, name to (help, value)."""
        async with self._making:
            if self._made_at is None or monotonic() - self._made_at > _FRESH_SECONDS:
                self._text = expose(await read_figures(self._database))
                self._made_at = monotonic()
        return self._text + (
            _exposed([_gauge(name, text, value) for name, (text, value) in own.items()]) if own else b""
        )


async def read_figures(database: Database) -> Figures:
    """Ask the database."""
    return Figures(
        await look(database),
        await database.fetch(_SQL["totals"]),
        await database.fetchrow(_SQL["database"]),
        await database.fetch(_SQL["schedules"]),
        await read_tables(database),
    )


def expose(figures: Figures) -> bytes:
    """The text of these figures."""
    return _exposed(
        [
            *_of_verdict(figures),
            *_of_queues(figures.sight),
            *_of_jobs(figures.totals),
            *_of_paces(figures),
            *_of_workers(figures.sight),
            *_of_schedules(figures),
            *_of_events(figures.sight),
            *_of_projections(figures.sight),
            *_of_database(figures),
        ]
    )


class _Ready(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        yield from self._families


def _exposed(families: Sequence[Family]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(families))
    return generate_latest(registry)


def _gauge(name: str, told: str, value: float) -> Family:
    return GaugeMetricFamily(f"holdfast_{name}", told, value=value)


def _labelled(name: str, told: str, label: str, values: Mapping[str, float]) -> Family:
    family = GaugeMetricFamily(f"holdfast_{name}", told, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _of_verdict(figures: Figures) -> Iterator[Family]:
    verdict = judge(figures.sight)
    yield _labelled(
        "verdict", "1 for the verdict that holds", "status", {one: float(one is verdict.status) for one in Status}
    )
    kinds: dict[str, float] = {}
    for reason in verdict.reasons:
        kinds[reason.kind] = kinds.get(reason.kind, 0) + 1
    yield _labelled("verdict_reasons", "Reasons why the verdict is not OK", "kind", kinds)
    info = InfoMetricFamily("holdfast_build", "What is installed")
    info.add_metric(
        [],
        {
            "version": metadata.version("holdfast"),
            "schema": str(figures.database["schema_version"]),
            "postgres": figures.sight.server.version,
        },
    )
    yield info


def _of_queues(sight: Sight) -> Iterator[Family]:
    depth = GaugeMetricFamily(
        "holdfast_queue_depth", "Jobs by where they stand, counted up to 10000", labels=["queue", "state"]
    )
    for queue in sight.queues:
        for state in ("ready", "scheduled", "blocked", "running"):
            depth.add_metric([queue.name, state], getattr(queue, state))
    yield depth
    yield _labelled(
        "queue_oldest_runnable_age_seconds",
        "How long the job that has been ready longest waits; paused queues and future work excluded",
        "queue",
        {queue.name: queue.oldest_seconds or 0.0 for queue in sight.queues if queue.paused_at is None},
    )
    yield _labelled(
        "queue_paused",
        "1 while a queue is paused",
        "queue",
        {q.name: float(q.paused_at is not None) for q in sight.queues},
    )
    yield _labelled(
        "queue_estimated_drain_seconds",
        "Ready jobs over the rate of the last five minutes; absent where nothing ended",
        "queue",
        {q.name: 300.0 * q.ready / (q.completed + q.failed) for q in sight.queues if q.completed + q.failed},
    )


def _of_jobs(totals: Sequence[Mapping[str, Any]]) -> Iterator[Family]:
    enqueued = CounterMetricFamily("holdfast_jobs_enqueued", "Jobs enqueued; a minute late", labels=["queue"])
    finished = CounterMetricFamily("holdfast_jobs_finished", "Jobs that ended", labels=["queue", "outcome"])
    attempts = CounterMetricFamily("holdfast_job_attempts", "Attempts by how they ended", labels=["queue", "outcome"])
    for row in totals:
        enqueued.add_metric([row["queue"]], row["enqueued"])
        for outcome in ("completed", "failed", "cancelled"):
            finished.add_metric([row["queue"], outcome], row[outcome])
        attempts.add_metric([row["queue"], "ok"], row["completed"])
        attempts.add_metric([row["queue"], "error"], row["failed"] + row["retried"])
        attempts.add_metric([row["queue"], "lost"], row["lost"])
    yield from (enqueued, finished, attempts)


def _of_paces(figures: Figures) -> Iterator[Family]:
    bounds = [*(f"{bound:g}" for bound in figures.database["bounds"]), "+Inf"]
    for name, told, counts, total in (
        ("job_wait_seconds", "From enqueue to start, of a sample of first attempts", "waits", "wait_sum"),
        ("job_run_seconds", "How long attempts ran, of a sample", "runs", "run_sum"),
    ):
        family = HistogramMetricFamily(f"holdfast_{name}", told, labels=["queue"])
        for row in figures.totals:
            if row[counts]:
                buckets = list(zip(bounds, itertools.accumulate(map(float, row[counts])), strict=True))
                family.add_metric([row["queue"]], buckets, sum_value=row[total])
        yield family


def _of_workers(sight: Sight) -> Iterator[Family]:
    live, slots = sight.live, sum(worker.concurrency for worker in sight.live)
    used = min(sum(len(worker.running) for worker in live), slots)
    yield _labelled(
        "workers", "Workers by whether they are heard of", "state", {"live": len(live), "silent": len(sight.unheard)}
    )
    yield _labelled("worker_slots", "Slots of live workers", "state", {"used": used, "free": slots - used})
    for name, told, ages in (
        (
            "worker_heartbeat_age_seconds",
            "Of the worker that has been silent longest",
            [w.silent_seconds for w in live],
        ),
        ("worker_last_ask_age_seconds", "Of the worker that asked least recently", [w.asked_seconds for w in live]),
        ("worker_last_claim_age_seconds", "Of the worker that claimed last", [_newest_claim(sight)]),
    ):
        known = [age for age in ages if age is not None]
        if known:
            yield _gauge(name, told, max(known))


def _newest_claim(sight: Sight) -> float | None:
    return min((worker.claimed_seconds for worker in sight.live if worker.claimed_seconds is not None), default=None)


def _of_schedules(figures: Figures) -> Iterator[Family]:
    yield _labelled(
        "schedule_next_timestamp_seconds",
        "When a schedule is due next",
        "schedule",
        {row["name"]: row["due"] for row in figures.schedules},
    )
    yield _labelled(
        "schedule_overdue_seconds",
        "For how long a schedule has been due",
        "schedule",
        {one.name: one.overdue_seconds for one in figures.sight.schedules},
    )


def _of_events(sight: Sight) -> Iterator[Family]:
    log = sight.log
    yield _gauge("events_head_position", "The last position drawn", log.drawn)
    yield _gauge("events_highwater_position", "Readers see up to here", log.settled)
    yield _gauge(
        "events_highwater_age_seconds",
        "How long the first event that readers do not see has been there",
        log.waiting_seconds or 0.0,
    )


def _of_projections(sight: Sight) -> Iterator[Family]:
    found = sight.projected
    for name, told, values in (
        ("projection_lag_events", "Events that wait, counted up to 10000 a partition", [p.lag_events for p in found]),
        ("projection_lag_seconds", "Age of the oldest event that waits", [p.lag_seconds or 0.0 for p in found]),
        ("projection_parked_streams", "Streams parked at an event that fails", [p.parked for p in found]),
        ("projection_stopped_partitions", "Partitions stopped at an event", [p.stopped for p in found]),
    ):
        yield _labelled(name, told, "projection", {p.name: v or 0 for p, v in zip(found, values, strict=True)})
    held = GaugeMetricFamily(
        "holdfast_projection_partitions", "Partitions by whether somebody holds them", labels=["projection", "state"]
    )
    for one in found:
        held.add_metric([one.name, "owned"], one.partitions_held)
        held.add_metric([one.name, "unowned"], projections.PARTITIONS - one.partitions_held)
    yield held


def _of_database(figures: Figures) -> Iterator[Family]:
    row, server = figures.database, figures.sight.server
    yield _gauge("db_connections_used_ratio", "Of those that are allowed", server.connections / max(server.allowed, 1))
    yield _gauge("db_oldest_xact_seconds", "The oldest open transaction", row["oldest_transaction_seconds"])
    yield _gauge("db_xmin_age_xacts", "Transactions whose dead rows cannot be cleaned up", row["xmin_age"])
    yield _gauge("db_blocked_sessions", "Sessions that wait for a lock", row["blocked"])
    yield _gauge("db_notify_queue_ratio", "How full the queue of notifications is", row["notify_queue_share"])
    yield _gauge("db_bytes", "Size of the database", row["bytes"])
    yield CounterMetricFamily("holdfast_db_deadlocks", "Deadlocks", value=row["deadlocks"] or 0)
    yield _labelled("db_table_bytes", "With indexes", "table", {t.name: t.bytes for t in figures.tables})
    yield _labelled("db_dead_tuples", "Dead rows", "table", {t.name: t.dead_rows for t in figures.tables})
