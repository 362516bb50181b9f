"""The bars that Holdfast is held to, judged on the records of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.results import Record, number

Figures = dict[tuple[str, str], Record]
POSTGRES_PEERS = ("pgqueuer", "awa", "chancy", "oban", "absurd", "procrastinate", "dbos")


@dataclass(frozen=True)
class Verdict:
    """One bar: what was asked, what was found. `met` is None when a figure is missing."""

    bar: str
    found: str
    met: bool | None


def judge(records: list[Record]) -> list[Verdict]:
    """Every bar that the measured records can speak about."""
    figures = {(record.measure, record.system): record for record in records if record.value is not None}
    return [check(figures) for check in _CHECKS]


def _value(figures: Figures, measure: str, system: str = "holdfast") -> float | None:
    record = figures.get((measure, system))
    return record.value if record else None


def _ratio(figures: Figures, measure: str, to: str) -> float | None:
    """The ratio to raw is taken round by round; to a peer, between medians."""
    record = figures.get((measure, "holdfast"))
    if record is None:
        return None
    if to == "raw":
        return record.ratio_to_raw
    other = _value(figures, measure, to)
    return record.value / other if record.value and other else None


def _at_least(measure: str, to: str, bar: float, title: str) -> Callable[[Figures], Verdict]:
    def check(figures: Figures) -> Verdict:
        ratio = _ratio(figures, measure, to)
        found = "not measured" if ratio is None else f"{ratio:.2f}x"
        return Verdict(f"{title} >= {bar:g}x {to}", found, None if ratio is None else ratio >= bar)

    return check


def _at_least_the_best_peer(measure: str, bar: float, title: str) -> Callable[[Figures], Verdict]:
    asked = f"{title} >= {bar:g}x the best PostgreSQL peer"

    def check(figures: Figures) -> Verdict:
        peers = [(value, peer) for peer in POSTGRES_PEERS if (value := _value(figures, measure, peer))]
        ours = _value(figures, measure)
        if not peers or ours is None:
            return Verdict(asked, "not measured", None)
        best, peer = max(peers)
        return Verdict(asked, f"{ours / best:.2f}x {peer}", ours / best >= bar)

    return check


def _absolute(measure: str, bar: float, title: str, unit: str, *, most: bool = False) -> Callable[[Figures], Verdict]:
    def check(figures: Figures) -> Verdict:
        value = _value(figures, measure)
        sign = "<=" if most else ">="
        met = None if value is None else (value <= bar if most else value >= bar)
        found = "not measured" if value is None else f"{number(value)} {unit}"
        return Verdict(f"{title} {sign} {bar:,g} {unit}", found, met)

    return check


def _two_not_slower_than_one(figures: Figures) -> Verdict:
    one, two = _value(figures, "drain"), _value(figures, "drain_2")
    if one is None or two is None:
        return Verdict("drain with two workers >= with one", "not measured", None)
    return Verdict("drain with two workers >= with one", f"{two / one:.2f}x", two >= one)


def _wal_of_a_whole_life(figures: Figures) -> Verdict:
    record = figures.get(("produce_and_drain", "holdfast"))
    wal = record.costs.get("wal_bytes_per_job") if record else None
    bar = "WAL of a whole life <= 1,024 bytes/job"
    if wal is None:
        return Verdict(bar, "not measured", None)
    return Verdict(bar, f"{wal:,.0f} bytes/job", wal <= 1024)


_CHECKS: tuple[Callable[[Figures], Verdict], ...] = (
    _at_least("drain", "raw", 0.5, "drain, one worker,"),
    _at_least("drain", "pgqueuer", 3, "drain, one worker,"),
    _absolute("drain", 60_000, "drain, one worker,", "jobs/s"),
    _two_not_slower_than_one,
    _at_least("drain_2", "pgqueuer", 2, "drain, two workers,"),
    _at_least("enqueue_single", "raw", 0.6, "single enqueues"),
    _at_least("enqueue_bulk", "raw", 0.6, "bulk enqueues"),
    _absolute("enqueue_concurrent", 20_000, "concurrent single enqueues", "jobs/s"),
    _at_least_the_best_peer("produce_and_drain", 3, "produce and drain"),
    _at_least("produce_and_drain", "dramatiq", 1, "produce and drain"),
    _absolute("latency_p50", 1.4, "idle latency p50", "ms", most=True),
    _absolute("latency_p99", 2.6, "idle latency p99", "ms", most=True),
    _wal_of_a_whole_life,
)
