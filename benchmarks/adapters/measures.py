"""The measures, written once for all systems. Each returns a plain dictionary that becomes one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from contract import (
    DSN,
    MEASURE,
    SETTINGS,
    Adapter,
    make_payload,
    run,
    settings_from_environment,
    stop_when_input_closes,
)
from tally import RECORD_LATENCY, TALLY_DIRECTORY, Board, current_tally

BULK = 1000
CALLERS = 100
Result = dict[str, Any]


class WorkerDied(RuntimeError):
    """A worker process ended by itself."""


class Workers:
    """Worker processes of one system, and the board they report to."""

    def __init__(self, adapter: Adapter, count: int, *, latency: bool = False) -> None:
        self._adapter = adapter
        self._count = count
        self._latency = latency
        self._processes: list[subprocess.Popen[bytes]] = []
        self._directory = tempfile.TemporaryDirectory(prefix="tally-")
        self.board = Board(Path(self._directory.name))

    def __enter__(self) -> Self:
        environment = {**os.environ, TALLY_DIRECTORY: self._directory.name, DSN: self._adapter.dsn}
        environment[MEASURE] = self._adapter.measure
        environment[SETTINGS] = json.dumps(self._adapter.settings)
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        if self._latency:
            environment[RECORD_LATENCY] = "1"
        own = [sys.executable, str(Path(sys.argv[0]).resolve()), "work", "--dsn", self._adapter.dsn]
        command = self._adapter.worker_command() or own
        for number in range(self._count):
            with (Path(self._directory.name) / f"worker{number}.log").open("wb") as log:
                self._processes.append(
                    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
                )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            if self._adapter.worker_command() and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if error is not None:
            print(self._logs(), file=sys.stderr)
        self._directory.cleanup()

    async def until_executed(self, jobs: int, *, pause: float = 0.01, patience: float = 60.0) -> None:
        """Return once so many jobs were executed; fail when a worker dies or nothing moves for `patience` seconds."""
        seen, moved = -1, time.monotonic()
        while (executed := self.board.read().executed) < jobs:
            if executed != seen:
                seen, moved = executed, time.monotonic()
            elif time.monotonic() - moved > patience:
                raise TimeoutError(f"stuck at {executed} of {jobs} jobs for {patience:.0f} s\n{self._logs()}")
            for process in self._processes:
                if process.poll() is not None:
                    raise WorkerDied(f"a worker ended with {process.returncode} after {executed} jobs\n{self._logs()}")
            await asyncio.sleep(pause)

    async def until_recorded(self, *, patience: float = 60.0) -> float:
        """Return the moment at which the store knew every job as finished.

        That is when the question was asked, not when it was answered: counting is ours, not the system's.
        """
        deadline = time.monotonic() + patience
        while True:
            asked = time.monotonic()
            left = await self._adapter.unfinished()
            if left <= 0:
                return asked
            if asked > deadline:
                raise TimeoutError(f"{left} jobs are executed but never recorded as finished")
            await asyncio.sleep(0.005)

    def peak_memory_mb(self) -> float:
        """The highest resident size so far, summed over the worker processes and everything they started."""
        return sum(peak_memory_mb(process.pid) for process in self._processes)

    def _logs(self) -> str:
        logs = sorted(Path(self._directory.name).glob("*.log"))
        return "\n".join(log.read_text(errors="replace")[-3000:] for log in logs)


def peak_memory_mb(pid: int) -> float:
    """Of one process and its descendants, as the kernel noted it since each was started."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    peaks = [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")]
    return sum(peaks) + sum(peak_memory_mb(int(child)) for child in children)


async def enqueue_single(adapter: Adapter, jobs: int, seconds: float) -> Result:
    """One connection, one job after another."""
    await adapter.connect(1)
    before, count, start = await adapter.unfinished(), 0, time.monotonic()
    end = start + seconds
    while (now := time.monotonic()) < end:
        await adapter.enqueue(make_payload(count))
        count += 1
    return await _enqueued(adapter, before, count, now - start)


async def enqueue_concurrent(adapter: Adapter, jobs: int, seconds: float) -> Result:
    """A hundred callers in one process, each waiting for its own acknowledgement."""
    await adapter.connect(10)
    before, start = await adapter.unfinished(), time.monotonic()
    end = start + seconds

    async def caller(number: int) -> int:
        count = 0
        while time.monotonic() < end:
            await adapter.enqueue(make_payload(number))
            count += 1
        return count

    def blocking_caller(number: int) -> int:
        count = 0
        while time.monotonic() < end:
            adapter.enqueue_blocking(make_payload(number))
            count += 1
        return count

    if adapter.blocking:
        with ThreadPoolExecutor(CALLERS) as pool:
            loop = asyncio.get_running_loop()
            counts = await asyncio.gather(*(loop.run_in_executor(pool, blocking_caller, n) for n in range(CALLERS)))
    else:
        counts = await asyncio.gather(*(caller(n) for n in range(CALLERS)))
    return await _enqueued(adapter, before, sum(counts), time.monotonic() - start)


async def enqueue_bulk(adapter: Adapter, jobs: int, seconds: float) -> Result:
    """A thousand jobs in one call, one call after another."""
    await adapter.connect(1)
    before, count, start = await adapter.unfinished(), 0, time.monotonic()
    end = start + seconds
    while (now := time.monotonic()) < end:
        await adapter.enqueue_many([make_payload(count + n) for n in range(BULK)])
        count += BULK
    return await _enqueued(adapter, before, count, now - start)


async def _enqueued(adapter: Adapter, before: int, count: int, elapsed: float) -> Result:
    stored = await adapter.unfinished() - before
    if stored != count:
        raise AssertionError(f"{count} enqueues were acknowledged but {stored} jobs are stored")
    peak = peak_memory_mb(os.getpid())
    return {"value": count / elapsed, "unit": "jobs/s", "jobs": count, "seconds": elapsed, "client_peak_mb": peak}


async def drain(adapter: Adapter, jobs: int, seconds: float, processes: int = 1) -> Result:
    """Work off a backlog that was filled before; from the first start to the moment the last job is recorded."""
    await adapter.connect(1)
    waiting = await adapter.unfinished()
    if waiting != jobs:
        raise AssertionError(f"the backlog holds {waiting} jobs instead of {jobs}")
    with Workers(adapter, processes) as workers:
        await workers.until_executed(jobs)
        end = await workers.until_recorded()
        reading, peak = workers.board.read(), workers.peak_memory_mb()
    return {
        "client_peak_mb": peak,
        "value": jobs / (end - reading.first),
        "unit": "jobs/s",
        "jobs": jobs,
        "executed": reading.executed,
        "seconds": end - reading.first,
        "seconds_until_last_handler": reading.last - reading.first,
    }


async def drain_2(adapter: Adapter, jobs: int, seconds: float) -> Result:
    """The same with two worker processes."""
    return await drain(adapter, jobs, seconds, processes=2)


async def transactional(adapter: Adapter, jobs: int, seconds: float) -> Result:
    """A drain of jobs whose outcome commits in a transaction of their own, with their effects."""
    return await drain(adapter, jobs, seconds)


async def produce_and_drain(adapter: Adapter, jobs: int, seconds: float) -> Result:
    """One producer enqueues singly while one worker works; whole lives per second."""
    await adapter.connect(1)
    with Workers(adapter, 1) as workers:
        await adapter.enqueue(make_payload(0))
        await workers.until_executed(1)
        count, start = 0, time.monotonic()
        end = start + seconds
        while time.monotonic() < end:
            await adapter.enqueue(make_payload(count))
            count += 1
        produced = time.monotonic()
        await workers.until_executed(count + 1)
        done = await workers.until_recorded()
        executed, peak = workers.board.read().executed - 1, workers.peak_memory_mb()
    return {
        "client_peak_mb": peak,
        "value": count / (done - start),
        "unit": "jobs/s",
        "jobs": count,
        "executed": executed,
        "seconds": done - start,
        "produced_per_second": count / (produced - start),
    }


async def latency(adapter: Adapter, jobs: int, seconds: float) -> Result:
    """An idle worker gets one job at a time: from before the enqueue call to the handler's first line."""
    await adapter.connect(1)
    warm_up, sent = 5, 0
    end = time.monotonic() + 3 * seconds + 5
    with Workers(adapter, 1, latency=True) as workers:
        await adapter.ready()
        while sent < jobs + warm_up and (time.monotonic() < end or sent < warm_up + 20):
            await adapter.enqueue(make_payload(sent, time.monotonic()))
            sent += 1
            await workers.until_executed(sent, pause=0.005)
            # A random pause, so that arrivals never fall into step with anybody's polling.
            await asyncio.sleep(random.uniform(0.01, 0.03))
        await workers.until_recorded()
        waits = sorted(workers.board.waits()[warm_up:])
        peak = workers.peak_memory_mb()
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return {
        "client_peak_mb": peak,
        "value": cuts[49] * 1000,
        "p99": cuts[98] * 1000,
        "unit": "ms",
        "jobs": sent,
        "executed": len(waits) + warm_up,
        "seconds": sum(waits),
    }


Measure = Callable[[Adapter, int, float], Coroutine[Any, Any, Result]]
MEASURES: dict[str, Measure] = {
    "enqueue_single": enqueue_single,
    "enqueue_concurrent": enqueue_concurrent,
    "enqueue_bulk": enqueue_bulk,
    "drain": drain,
    "drain_2": drain_2,
    "transactional": transactional,
    "latency": latency,
    "produce_and_drain": produce_and_drain,
}


async def _prepare(adapter: Adapter, measure: str, jobs: int, *, refill: bool) -> Result:
    if not refill:
        await adapter.install()
    if MEASURES[measure] not in (drain, drain_2, transactional):
        return {"prepared": 0}
    await adapter.connect(1)
    for start in range(0, jobs, BULK):
        await adapter.fill([make_payload(n) for n in range(start, min(start + BULK, jobs))])
    await adapter.close()
    return {"prepared": jobs}


async def _measure(adapter: Adapter, measure: str, jobs: int, seconds: float) -> Result:
    try:
        result = await MEASURES[measure](adapter, jobs, seconds)
    finally:
        await adapter.close()
    return {"measure": measure, **result, "settings": adapter.settings}


async def _work(adapter: Adapter) -> None:
    stop = asyncio.Event()
    stop_when_input_closes(stop)
    await adapter.work(current_tally(), stop)


def main(kind: type[Adapter]) -> None:
    """The command line of an adapter."""
    parser = argparse.ArgumentParser()
    parser.add_argument("measure", choices=[*MEASURES, "work"])
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--refill", action="store_true", help="with --prepare: another backlog, the schema is there")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="override a setting")
    options = parser.parse_args()
    overrides = settings_from_environment()
    overrides.update({name: json.loads(value) for name, _, value in (item.partition("=") for item in options.set)})
    if options.measure != "work":
        # Read by adapters at import and by everything they start.
        os.environ[MEASURE] = options.measure
    adapter = kind(options.dsn, overrides)
    if options.measure == "work":
        run(adapter, lambda: _work(adapter))
        return
    if options.prepare:
        result = run(adapter, lambda: _prepare(adapter, options.measure, options.jobs, refill=options.refill))
    else:
        result = run(adapter, lambda: _measure(adapter, options.measure, options.jobs, options.seconds))
    print(json.dumps(result), flush=True)
