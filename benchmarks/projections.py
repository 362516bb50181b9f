"""Catch-up of projections: `python -m benchmarks.projections [--events N] [--peer]`.

One server, one log of events in 1000 streams. Measured, each from the beginning of the log: a handler that upserts a
row per event, and one that returns rows from batches; with one and with two processes; then the time from an append to
the commit of the read model at half of what the first can do. `--peer` runs Python eventsourcing with the same upsert
on the same server, in an environment of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.environments import ensure, find_interpreter
from benchmarks.stores import CONFIGURATION
from holdfast import Holdfast
from holdfast.db.embedded import owned_server
from holdfast.events import projections as projecting

HERE = Path(__file__).parent
STREAMS = 1000
FILL = """
insert into holdfast.event (version, recorded_at, id, partition, schema_version, stream, type, data)
select n / $2 + 1, now(), gen_random_uuid(), holdfast.partition_of('account-' || n % $2), 1, 'account-' || n % $2,
       'Deposited', jsonb_build_object('amount', n % 100, 'note', repeat('x', 60))
from generate_series(0, $1 - 1) as n
"""
UPSERT = (
    "insert into balance (account, n, last) values ($1, 1, $2) "
    "on conflict (account) do update set n = balance.n + 1, last = $2"
)


def make_app(url: str) -> Holdfast:
    app = Holdfast(url)

    @app.projection("upserting", batch=1000)
    async def upserting(tx: Any, event: Any) -> None:
        await tx.execute(UPSERT, event.stream, event.position)

    @app.projection("batches", batch=5000, into="latest", key="account")
    def batches(events: list[Any]) -> list[dict[str, Any]]:
        return [{"account": event.stream, "last": event.position} for event in events]

    return app


async def prepare(url: str, events: int) -> None:
    async with await Holdfast(url).open(bring_up=True) as app:
        await app.migrate()
    connection = await asyncpg.connect(url)
    await connection.execute("drop table if exists balance, latest")
    await connection.execute("create table balance (account text primary key, n bigint, last bigint)")
    await connection.execute("create table latest (account text primary key, last bigint)")
    await connection.execute(FILL.replace("$1", str(events)).replace("$2", str(STREAMS)))
    await connection.execute(
        "insert into holdfast.stream select stream, max(version), min(partition) from holdfast.event group by stream"
    )
    await connection.execute("vacuum analyze holdfast.event")
    await connection.execute("select holdfast.adopt_log_v1()")
    await connection.close()


def spawn(url: str, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.projections", "--serve", name, "--dsn", url])


async def catch_up(url: str, name: str, events: int, processes: int) -> float:
    """Events a second, from the first checkpoint to the last: what a process needs to start is not counted."""
    connection = await asyncpg.connect(url)
    await connection.execute("truncate balance, latest")
    await connection.execute("delete from holdfast.projection where name = $1", name)
    await connection.execute("checkpoint")
    workers = [spawn(url, name) for _ in range(processes)]
    moved = "select count(*) from holdfast.projection_partition where projection = $1 and checkpoint > 0"
    try:
        while not await connection.fetchval(moved, name):
            await asyncio.sleep(0.002)
        begun = time.monotonic()
        while not await connection.fetchval("select holdfast.has_caught_up_v1($1, $2)", name, 1 << 60):
            await asyncio.sleep(0.01)
        took = time.monotonic() - begun
        if name == "upserting":
            assert await connection.fetchval("select sum(n) from balance") == events
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(20)
        await connection.close()
    return events / took


@asynccontextmanager
async def served(url: str, name: str) -> AsyncIterator[Any]:
    worker = spawn(url, name)
    connection = await asyncpg.connect(url)
    try:
        while not await connection.fetchval(
            "select count(*) = 64 from holdfast.projection_partition where owner is not null"
        ):
            await asyncio.sleep(0.02)
        yield connection
    finally:
        worker.terminate()
        worker.wait(20)
        await connection.close()


async def lag(url: str, per_second: float, seconds: float) -> list[float]:
    """Milliseconds from the commit of an append to the commit of the read model, at a given rate, by one appender."""
    name = "upserting"
    found: list[float] = []
    async with served(url, name) as connection:
        appender = await asyncpg.connect(url)
        sent: dict[int, float] = {}
        account, batch = itertools.count(), 20
        end = time.monotonic() + seconds
        turn = time.monotonic()
        looking = asyncio.create_task(_look(connection, sent, found))
        while time.monotonic() < end:
            rows = await appender.fetch(
                "select max(position) as position from holdfast.append_events($1, $2::text::jsonb)",
                f"account-{next(account) % STREAMS}",
                json.dumps([{"type": "Deposited", "data": {"amount": 1}}] * batch),
            )
            sent[rows[0]["position"]] = time.monotonic()
            turn += batch / per_second
            await asyncio.sleep(max(0.0, turn - time.monotonic()))
        while sent:
            await asyncio.sleep(0.01)
        looking.cancel()
        await appender.close()
    return sorted(found)


async def _look(connection: Any, sent: dict[int, float], found: list[float]) -> None:
    """Which of the sent are in the read model, by the table, or by the checkpoints for rows overwritten since."""
    least = "select min(checkpoint) from holdfast.projection_partition where projection = 'upserting'"
    while True:
        rows = await connection.fetch("select last from balance where last = any($1)", list(sent))
        there = {row["last"] for row in rows}
        reached = await connection.fetchval(least)
        there |= {position for position in sent if position <= reached}
        now = time.monotonic()
        found += [(now - sent.pop(position)) * 1000 for position in there]
        await asyncio.sleep(0.002)


def peer(url: str, events: int) -> float:
    """Python eventsourcing's projection runner with the same upsert."""
    python = ensure("eventsourcing", find_interpreter(None))
    told = subprocess.run(
        [str(python), str(HERE / "adapters" / "eventsourcing_projection.py"), url, str(events)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    return float(json.loads(told.stdout)["events_per_second"])


def show(what: str, how: str) -> None:
    print(f"{what:<52}{how}", flush=True)


async def measure(url: str, options: argparse.Namespace) -> None:
    await prepare(url, options.events)
    rates: dict[tuple[str, int], float] = {}
    for name in ("upserting", "batches"):
        for processes in (1, 2):
            rates[name, processes] = await catch_up(url, name, options.events, processes)
            show(f"catch-up, {name}, {processes} process(es)", f"{rates[name, processes]:>10,.0f} events/s")
    half = min(rates["upserting", 1] / 2, 2500.0)
    found = await lag(url, half, options.seconds)
    show(
        f"lag at {half:,.0f} events/s",
        f"p50 {statistics.median(found):.1f} ms, p99 {found[int(len(found) * 0.99)]:.1f} ms, {len(found)} appends",
    )
    if options.peer:
        theirs = peer(url, min(options.events, 10_000))
        show("catch-up, Python eventsourcing, upserting", f"{theirs:>10,.0f} events/s")
        show("ratio", f"{rates['upserting', 1] / theirs:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projections", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the lag measure")
    parser.add_argument("--peer", action="store_true", help="measure Python eventsourcing, too")
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(_served(options))
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        Path(folder).chmod(0o711)
        with owned_server(Path(folder) / "data", config=CONFIGURATION, delete_data=True) as owned:
            asyncio.run(measure(owned.address.url, options))


async def _served(options: argparse.Namespace) -> None:
    async with make_app(options.dsn) as app:
        chosen = app.declared_projections([options.serve])
        async with projecting.serving_apart(app.database, chosen, projecting.ProjectorOptions()) as projectors:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, projectors.stop)
            await projectors.run()


if __name__ == "__main__":
    main()
