"""What a worker is told, and what it has to say at the end."""

from __future__ import annotations

import logging

from msgspec import Struct, field


class AwsBatchOptions(Struct, frozen=True):
    """Where heavy work runs on AWS: a Batch queue and job definition, and an S3 folder for calls and results."""

    queue: str
    definition: str
    store: str
    """``s3://bucket/folder``"""
    poll_seconds: float = 5.0
    runnable_limit_seconds: float = 3600.0
    """A Batch job that has found no machine for so long is given up."""


class WorkerOptions(Struct, frozen=True):
    """Values only; where they come from is the settings' business."""

    queues: tuple[str, ...] = ("default",)
    concurrency: int = 20
    name: str = ""
    prefetch_seconds: float = 0.05
    max_prefetch: int = 1000
    flush_seconds: float = 0.003
    poll_max_seconds: float = 1.0
    result_max_bytes: int = 1_000_000
    shutdown_soft_seconds: float = 20.0
    shutdown_hard_seconds: float = 25.0
    silence_seconds: float = 60.0
    max_losses: int = 3
    retention_days: int = 30
    thread_grace_seconds: float = 5.0
    """How long a cancelled thread may take to stop by itself before ``Interrupted`` is raised in it."""
    dask_address: str | None = None
    aws_batch: AwsBatchOptions | None = None
    job_log_level: str = "info"
    job_log_days: int = 7
    drain: bool = False
    drain_horizon_seconds: float = 300.0
    """A drained worker waits for retries due this soon; what a caller scheduled for later is not waited for."""

    @property
    def kept_log_level(self) -> int | None:
        """The quietest log line of a job that is kept, as ``logging`` counts levels; None keeps nothing."""
        return logging.getLevelNamesMapping().get(self.job_log_level.upper())


class Failure(Struct, frozen=True):
    """A job that failed for good under this worker."""

    job_id: int
    task: str
    error: str


class Report(Struct):
    """What a worker did, in jobs."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    snoozed: int = 0
    lost: int = 0
    interrupted: int = 0
    refused: int = 0
    fenced: bool = False
    failures: list[Failure] = field(default_factory=list)

    MOST_FAILURES = 1000

    @property
    def finished(self) -> int:
        """Jobs that ended, however they did."""
        return self.completed + self.failed + self.cancelled

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing was left behind."""
        return not (self.failed or self.interrupted or self.fenced)

    @property
    def exit_status(self) -> int:
        """0 all well, 1 jobs failed, 8 none failed but it was interrupted before the queues were drained."""
        if self.failed:
            return 1
        return 8 if self.fenced or self.interrupted else 0
