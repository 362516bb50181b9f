from __future__ import annotations

from datetime import UTC, timedelta

from holdfast import clock


def test_now_is_aware_and_utc() -> None:
    moment = clock.now()

    assert moment.tzinfo is UTC
    assert moment.utcoffset() == timedelta(0)


def test_monotonic_never_goes_back() -> None:
    readings = [clock.monotonic() for _ in range(1_000)]

    assert readings == sorted(readings)
