"""A database that has been busy for four weeks, filled once and looked at often."""

from __future__ import annotations

from time import perf_counter

import psycopg
from rich.console import Console

from holdfast.db import load_statements

SQL = load_statements("benchmarks", "api.sql")
_PART = 250_000


def fill(dsn: str, *, finished: int, waiting: int, console: Console) -> None:
    """Finished and waiting jobs, counters, groups of failures; a database that is full already stays as it is."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if _one(connection, "filled"):
            return
        begun = perf_counter()
        for name in ("four_weeks_of_partitions_function", "four_weeks_of_partitions"):
            _run(connection, name)
        for start in range(1, finished + 1, _PART):
            _run(connection, "keep_finished", start, min(start + _PART - 1, finished), finished)
        console.print(f"{finished} finished jobs in {perf_counter() - begun:.0f} s")
        for start in range(1, waiting + 1, _PART):
            _run(connection, "keep_waiting", start, min(start + _PART - 1, waiting))
        while _one(connection, "fold_failures"):
            pass
        for name in ("count_them_function", "count_them", "vacuum"):
            _run(connection, name)
        console.print(f"filled in {perf_counter() - begun:.0f} s")


def some_jobs(dsn: str) -> dict[str, int]:
    """A job that has completed, one that has failed, one that waits."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return {
            "completed": _one(connection, "some_job", 1),
            "failed": _one(connection, "some_job", 2),
            "ready": _one(connection, "waiting_job"),
        }


def _run(connection: psycopg.Connection, name: str, *parameters: object) -> psycopg.Cursor:
    text = SQL[name].sql
    cursor = psycopg.RawCursor(connection)
    return cursor.execute(text, parameters or None)


def _one(connection: psycopg.Connection, name: str, *parameters: object) -> int:
    row = _run(connection, name, *parameters).fetchone()
    return 0 if row is None else int(row[0])
