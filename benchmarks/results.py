"""From samples to records: medians over rounds, ratios to the raw limit of the same round, and the JSON that stays."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rounds import Sample

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Record:
    """One figure with everything that is needed to doubt it."""

    measure: str
    system: str
    version: str
    value: float | None
    unit: str
    rounds: tuple[float, ...]
    ratio_to_raw: float | None
    ratio_to_raw_range: tuple[float, float] | None
    settings: Mapping[str, Any]
    costs: Mapping[str, float]
    errors: tuple[str, ...]
    commit: str
    machine: Mapping[str, Any]
    server: Mapping[str, str] = field(default_factory=dict)
    finished_at: str = ""

    @property
    def low(self) -> float:
        """The lowest round."""
        return min(self.rounds)

    @property
    def high(self) -> float:
        """The highest round."""
        return max(self.rounds)


def make_records(samples: Iterable[Sample], server: Mapping[str, str]) -> list[Record]:
    """One record for each measure and system; latency becomes two, p50 and p99."""
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        for part in _parts(sample):
            groups[part.measure, part.system].append(part)
    commit, machine, now = describe_commit(), describe_machine(), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    records = []
    for (measure, system), group in groups.items():
        raw = {sample.round: sample.value for sample in groups.get((measure, "raw"), []) if sample.value}
        measured = [sample for sample in group if sample.value is not None]
        values = [sample.value for sample in measured if sample.value is not None]
        ratios = [(s.value or 0) / base for s in measured if (base := raw.get(s.round))]
        records.append(
            Record(
                measure=measure,
                system=system,
                version=group[0].version,
                value=statistics.median(values) if values else None,
                unit=group[0].unit,
                rounds=tuple(values),
                ratio_to_raw=statistics.median(ratios) if ratios else None,
                ratio_to_raw_range=(min(ratios), max(ratios)) if ratios else None,
                settings=_typical(measured).settings if measured else {},
                costs=_median_costs(measured),
                errors=tuple(dict.fromkeys(sample.error for sample in group if sample.error)),
                commit=commit,
                machine=machine,
                server=server,
                finished_at=now,
            )
        )
    return records


def _parts(sample: Sample) -> list[Sample]:
    if sample.measure != "latency":
        return [sample]
    p50, p99 = Sample(**asdict(sample)), Sample(**asdict(sample))
    p50.measure, p99.measure = "latency_p50", "latency_p99"
    p99.value = sample.details.get("p99") if sample.value is not None else None
    return [p50, p99]


def _typical(samples: list[Sample]) -> Sample:
    """The sample of the median round: its settings are the ones published."""
    return sorted(samples, key=lambda sample: sample.value or 0.0)[len(samples) // 2]


def _median_costs(samples: list[Sample]) -> dict[str, float]:
    names = {name for sample in samples for name in sample.costs}
    return {name: statistics.median(s.costs[name] for s in samples if name in s.costs) for name in sorted(names)}


def number(value: float) -> str:
    """Three significant digits for small figures, thousands with commas for large ones."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(records: list[Record], path: Path) -> None:
    """The JSON file that tables and plots of the docs are made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(record) for record in records], indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> list[Record]:
    """The records of an earlier run."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    for entry in entries:
        for name in ("rounds", "errors"):
            entry[name] = tuple(entry[name])
    return [Record(**entry) for entry in entries]


def describe_commit() -> str:
    """The commit that was measured, with a mark when the tree differs from it."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or "unknown"


def describe_machine() -> dict[str, Any]:
    """What it ran on; no name of the host."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next(lines, "").partition(":")[2].strip()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }
