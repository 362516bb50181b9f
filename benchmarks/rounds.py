"""The run: rounds, and in each round every measure, and for each measure every system, one right after the other.

A machine's speed drifts; systems that are measured within the same minute drift together. What fails is noted with
its error, and the rest goes on. Every sample is appended to a file at once, so a run that broke off can be resumed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import EnvironmentFailed, Interpreter, ensure, installed_version
from benchmarks.stores import Gauges, Postgres, Redis
from benchmarks.systems import Measure, System

MOST_JOBS = 1_000_000


@dataclass
class Sample:
    """One system, one measure, one round."""

    system: str
    measure: str
    round: int
    version: str = ""
    value: float | None = None
    unit: str = ""
    jobs: int = 0
    seconds: float = 0.0
    error: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    #: Costs around the measure: per job where that has a meaning.
    costs: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is a sample of."""
        return self.system, self.measure, self.round


@dataclass(frozen=True)
class Plan:
    """What to run."""

    systems: tuple[System, ...]
    measures: tuple[Measure, ...]
    rounds: int
    seconds: float
    interpreter: Interpreter
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class AdapterFailed(Exception):
    """An adapter ended with an error; the message is the end of what it said."""


class Runner:
    """Works through a plan."""

    def __init__(self, plan: Plan, postgres: Postgres, redis: Redis | None, journal: Path) -> None:
        self._plan = plan
        self._postgres = postgres
        self._redis = redis
        self._journal = journal
        self._pythons: dict[str, Path] = {}
        self._versions: dict[str, str] = {}
        self._broken: dict[str, str] = {}
        self._rates = {system.name: float(system.jobs_per_second) for system in plan.systems}
        self.samples: list[Sample] = []

    def install(self, say: Callable[[str], None]) -> None:
        """Make the environments; a system that cannot be installed is out, with its reason."""
        for system in self._plan.systems:
            say(f"environment of {system.name}")
            try:
                if self._plan.interpreter.minor < system.python:
                    needed = ".".join(map(str, system.python))
                    raise EnvironmentFailed(f"needs Python {needed}; found {self._plan.interpreter.version}")
                python = ensure(system.environment, self._plan.interpreter)
                self._pythons[system.name] = python
                self._versions[system.name] = installed_version(python, system.package)
            except (EnvironmentFailed, subprocess.SubprocessError) as error:
                self._broken[system.name] = str(error)

    def resume(self) -> int:
        """Take over the samples of the journal; what failed there is tried again."""
        if self._journal.exists():
            read = [Sample(**json.loads(line)) for line in self._journal.read_text().splitlines()]
            self.samples = [sample for sample in read if sample.error is None]
        return len(self.samples)

    def run(self, say: Callable[[Sample | str], None]) -> None:
        """Measure everything that is not measured yet."""
        done = {sample.key for sample in self.samples}
        for number in range(1, self._plan.rounds + 1):
            for measure in self._plan.measures:
                for system in self._plan.systems:
                    if (system.name, measure.name, number) not in done:
                        say(f"round {number}  {measure.name}  {system.name}")
                        sample = self._sample(system, measure, number)
                        self._keep(sample)
                        say(sample)

    def _keep(self, sample: Sample) -> None:
        self.samples.append(sample)
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(sample)) + "\n")

    def _sample(self, system: System, measure: Measure, number: int) -> Sample:
        failed = Sample(system.name, measure.name, number, self._versions.get(system.name, ""), unit=measure.unit)
        if measure.name in system.lacks:
            failed.error = system.lacks[measure.name]
            return failed
        if system.name in self._broken:
            failed.error = self._broken[system.name]
            return failed
        tries = [
            self._try(system, measure, number, dict(settings)) for settings in system.tries.get(measure.name, ({},))
        ]
        measured = [sample for sample in tries if sample.value is not None]
        if not measured:
            return tries[0]
        best = max if measure.better == "more" else min
        return best(measured, key=lambda sample: sample.value or 0.0)

    def _try(self, system: System, measure: Measure, number: int, settings: dict[str, Any]) -> Sample:
        sample = Sample(system.name, measure.name, number, self._versions[system.name], unit=measure.unit)
        name = f"bench_{system.name}_{measure.name}_{os.getpid()}"
        jobs = 300
        if measure.backlog:
            jobs = int(min(MOST_JOBS, max(500, self._rates[system.name] * self._plan.seconds)))
        arguments = ["--jobs", str(jobs), "--seconds", str(self._plan.seconds)]
        arguments += [f"--set={key}={json.dumps(value)}" for key, value in settings.items()]
        arguments += [f"--set={override}" for override in self._plan.overrides.get(system.name, ())]
        try:
            dsn = self._fresh_store(system, name)
            command = [str(self._pythons[system.name]), str(system.adapter), measure.name, "--dsn", dsn, *arguments]
            call([*command, "--prepare"], timeout=180 + jobs / 300)
            if system.store == "postgres":
                self._postgres.analyze(dsn)
            before, used = self._gauges(name), resource.getrusage(resource.RUSAGE_CHILDREN)
            answer = call(command, timeout=120 + 8 * self._plan.seconds)
            costs = self._costs(before, self._gauges(name), used) if system.store == "postgres" else client_cost(used)
            self._fill(sample, answer, costs | {"client_peak_mb": float(answer.pop("client_peak_mb"))})
            if measure.backlog and sample.value:
                self._rates[system.name] = sample.value
        except (AdapterFailed, subprocess.TimeoutExpired) as error:
            sample.error = str(error)
        finally:
            if system.store == "postgres":
                self._postgres.drop(name)
        return sample

    def _fresh_store(self, system: System, name: str) -> str:
        if system.store == "postgres":
            return self._postgres.create(name)
        assert self._redis is not None
        return self._redis.empty()

    def _gauges(self, name: str) -> Gauges:
        return self._postgres.gauges(name)

    def _costs(self, before: Gauges, after: Gauges, used: resource.struct_rusage) -> dict[str, float]:
        return client_cost(used) | {
            "wal_bytes": float(after.wal_bytes - before.wal_bytes),
            "commits": float(after.commits - before.commits),
            "server_cpu_seconds": after.server_cpu_seconds - before.server_cpu_seconds,
        }

    def _fill(self, sample: Sample, answer: dict[str, Any], costs: dict[str, float]) -> None:
        sample.value = float(answer.pop("value"))
        sample.jobs = int(answer.pop("jobs"))
        sample.seconds = float(answer.pop("seconds"))
        sample.settings = answer.pop("settings")
        sample.details = {name: value for name, value in answer.items() if isinstance(value, int | float)}
        per_job = [name for name in ("wal_bytes", "commits") if name in costs]
        sample.costs = costs | {f"{name}_per_job": costs[name] / max(1, sample.jobs) for name in per_job}


def client_cost(before: resource.struct_rusage) -> dict[str, float]:
    """CPU seconds of the adapter and its workers, their start-up included."""
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"client_cpu_seconds": now.ru_utime + now.ru_stime - before.ru_utime - before.ru_stime}


def call(command: list[str], timeout: float, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run an adapter, with these variables beside the inherited ones, and return its answer.

    It gets a process group of its own, so that on a time-out its workers go with it.
    """
    variables = {**os.environ, **(environment or {})}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, start_new_session=True, env=variables
        )
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise AdapterFailed(f"no answer after {timeout:.0f} s\n{_tail(err)}") from None
        out.seek(0)
        lines = out.read().strip().splitlines()
        if process.returncode or not lines:
            raise AdapterFailed(_tail(err) or f"ended with {process.returncode} and said nothing")
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer


def _tail(file: Any) -> str:
    file.seek(0)
    return "\n".join(str(file.read()).strip().splitlines()[-12:])
