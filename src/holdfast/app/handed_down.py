"""What the rooms are handed of the settings: they never read one themselves."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.leases import Limits
from holdfast.settings import Settings
from holdfast.worker import AwsBatchOptions, WorkerOptions


def worker_options(
    settings: Settings,
    *,
    queues: Sequence[str] | None = None,
    concurrency: int | None = None,
    name: str = "",
    drain: bool = False,
    horizon_seconds: float = 300.0,
) -> WorkerOptions:
    """The worker's share of the settings, with what the caller chose over it."""
    return WorkerOptions(
        queues=tuple(queues or settings.queues),
        concurrency=concurrency or settings.concurrency,
        name=name,
        prefetch_seconds=settings.prefetch_seconds,
        max_prefetch=settings.max_prefetch,
        flush_seconds=settings.flush_seconds,
        poll_max_seconds=settings.poll_max_seconds,
        result_max_bytes=settings.result_max_bytes,
        shutdown_soft_seconds=settings.shutdown_soft_seconds,
        shutdown_hard_seconds=settings.shutdown_hard_seconds,
        silence_seconds=settings.silence_seconds,
        max_losses=settings.max_losses,
        retention_days=settings.retention_days,
        thread_grace_seconds=settings.thread_grace_seconds,
        dask_address=settings.dask_address,
        aws_batch=_aws_batch_options(settings),
        job_log_level=settings.job_log_level,
        job_log_days=settings.job_log_days,
        drain=drain,
        drain_horizon_seconds=horizon_seconds,
    )


def _aws_batch_options(settings: Settings) -> AwsBatchOptions | None:
    queue, definition, store = settings.aws_batch_queue, settings.aws_batch_definition, settings.aws_batch_store
    if not (queue and definition and store):
        return None
    return AwsBatchOptions(queue, definition, store)


def limits_of(settings: Settings) -> Limits:
    """How long is too long, as the settings say."""
    return Limits(
        silence_seconds=settings.silence_seconds,
        silence_pooled_seconds=settings.silence_pooled_seconds,
        session_grace_seconds=settings.session_grace_seconds,
    )
