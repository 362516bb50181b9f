"""What is compared: one entry a system. The adapters say how; this table says what, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

HERE = Path(__file__).parent
NO_BULK = "no bulk enqueue"


@dataclass(frozen=True)
class System:
    """One system under measurement."""

    name: str
    package: str
    environment: str
    store: Literal["postgres", "redis"] = "postgres"
    #: The lowest Python it installs on.
    python: tuple[int, int] = (3, 11)
    #: Measures it has no operation for, and why.
    lacks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Settings tried for a measure in every round; the best counts, and is published.
    tries: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=lambda: MappingProxyType({}))
    #: A first guess of its drain rate, which sizes the first backlog; later rounds use what was measured.
    jobs_per_second: int = 1000

    @property
    def adapter(self) -> Path:
        """The script that drives it."""
        return HERE / "adapters" / f"{self.name}_.py"


SYSTEMS: Mapping[str, System] = MappingProxyType(
    {
        system.name: system
        for system in (
            System(
                "raw",
                "asyncpg",
                environment="holdfast",
                jobs_per_second=60_000,
                tries={"drain": ({"connections": 1}, {"connections": 2})},
            ),
            System("holdfast", "holdfast", environment="holdfast", jobs_per_second=40_000),
            System("pgqueuer", "pgqueuer", environment="pgqueuer", jobs_per_second=15_000),
            System("awa", "awa-pg", environment="awa", jobs_per_second=6000),
            System("chancy", "chancy", environment="chancy", jobs_per_second=3000),
            System("oban", "oban", environment="oban", python=(3, 12), jobs_per_second=2500),
            System(
                "absurd",
                "absurd-sdk",
                environment="absurd",
                lacks={"enqueue_bulk": NO_BULK},
                jobs_per_second=1000,
            ),
            System("procrastinate", "procrastinate", environment="procrastinate", jobs_per_second=600),
            System("dbos", "dbos", environment="dbos", jobs_per_second=500),
            System(
                "dramatiq",
                "dramatiq",
                environment="dramatiq",
                store="redis",
                lacks={"enqueue_bulk": NO_BULK},
                jobs_per_second=4000,
            ),
            System(
                "taskiq",
                "taskiq",
                environment="taskiq",
                store="redis",
                lacks={"enqueue_bulk": NO_BULK},
                jobs_per_second=3000,
            ),
            System(
                "celery",
                "celery",
                environment="celery",
                store="redis",
                lacks={"enqueue_bulk": NO_BULK},
                jobs_per_second=1000,
            ),
        )
    }
)


@dataclass(frozen=True)
class Measure:
    """One kind of figure."""

    name: str
    title: str
    unit: str
    better: Literal["more", "less"] = "more"
    #: Whether a backlog is filled before, in proportion to the system's rate.
    backlog: bool = False


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        measure.name: measure
        for measure in (
            Measure("enqueue_single", "Single enqueues, one connection", "jobs/s"),
            Measure("enqueue_concurrent", "Single enqueues from 100 concurrent callers of one process", "jobs/s"),
            Measure("enqueue_bulk", "Enqueues by the thousand", "jobs/s"),
            Measure("drain", "Drain of no-op jobs, one worker process", "jobs/s", backlog=True),
            Measure("drain_2", "Drain of no-op jobs, two worker processes", "jobs/s", backlog=True),
            Measure("latency", "Idle latency, enqueue to handler start", "ms", better="less"),
            Measure("produce_and_drain", "Produce singly and drain at once", "jobs/s"),
        )
    }
)
