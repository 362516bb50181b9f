"""Drain mode for tests without an event loop; with one, ``await app.drain()`` does it."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.app import Holdfast
from holdfast.worker import Report


def drain_sync(
    app: Holdfast,
    queues: Sequence[str] | None = None,
    *,
    concurrency: int | None = None,
    horizon_seconds: float = 300.0,
) -> Report:
    """Run jobs until nothing is runnable, and return what was done; ``Holdfast.drain`` for callers without a loop.

    Only what is committed is seen. Retries due within the horizon are waited for.
    """
    return app.run_sync(
        lambda _: app.drain(queues, concurrency=concurrency, horizon_seconds=horizon_seconds),
    )
