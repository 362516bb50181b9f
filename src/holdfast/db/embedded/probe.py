"""Asking a server who it is. Ready means: it answered a query and it is ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import Struct

from holdfast.db.embedded.state import ServerState
from holdfast.db.statements import load_statements

SUPERUSER = "holdfast"
DATABASE = "holdfast"
_ATTEMPT_SECONDS = 5.0
_STATEMENTS = load_statements("holdfast.db.embedded", "server.sql")


class Answer(Enum):
    """What a probe found."""

    OURS = "ours"
    SILENT = "silent"  # nobody answers, or the server says that it is not ready yet
    WRONG_PASSWORD = "wrong password"  # noqa: S105 (an answer, not a secret)
    REFUSED = "refused"
    STRANGER = "stranger"


class Probe(Struct, frozen=True):
    """An answer with what the server said."""

    answer: Answer
    detail: str = ""
    version: str = ""


def probe(state: ServerState) -> Probe:
    """Ask the server of this state who it is: first through its private socket, then through its port.

    In this order because only we can have made the private socket: the password is never sent to whoever
    else may listen on the port.
    """
    inside = _in_thread(lambda: _identify(state, state.socket_directory))
    if inside.answer is not Answer.OURS:
        return inside
    outside = _in_thread(lambda: _identify(state, "127.0.0.1"))
    if outside.answer in (Answer.OURS, Answer.SILENT):
        return outside
    return Probe(Answer.STRANGER, outside.detail)


def _in_thread(work: Callable[[], Coroutine[Any, Any, Probe]]) -> Probe:
    """Run a coroutine to its end, also for callers that stand in an event loop of their own."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


async def _identify(state: ServerState, host: str) -> Probe:
    # Every exception is an answer here: whatever else listens on the port may send any bytes, which the driver
    # fails on in ways of its own.
    try:
        connection = await _connect(state, host, DATABASE)
    except asyncpg.InvalidCatalogNameError:
        try:
            await _create_database(state, host)
            connection = await _connect(state, host, DATABASE)
        except Exception as error:  # noqa: BLE001
            return _refusal(error)
    except Exception as error:  # noqa: BLE001
        return _refusal(error)
    try:
        row = await connection.fetchrow(_STATEMENTS["identity"].sql, timeout=_ATTEMPT_SECONDS)
    except Exception as error:  # noqa: BLE001
        return _refusal(error)
    finally:
        connection.terminate()
    if row is None or not _same(state, row["data_directory"], row["system_identifier"]):
        return Probe(Answer.STRANGER, f"port {state.port} is served from {row and row['data_directory']}")
    return Probe(Answer.OURS, version=str(row["version"]).split()[0])


def _same(state: ServerState, data_directory: str, system_identifier: int) -> bool:
    same_place = Path(data_directory).resolve() == Path(state.data_directory).resolve()
    return same_place and system_identifier == state.system_identifier


def _refusal(error: Exception) -> Probe:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, asyncpg.InvalidPasswordError):
        return Probe(Answer.WRONG_PASSWORD, detail)
    not_yet = (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError, asyncpg.AdminShutdownError)
    if isinstance(error, (OSError, TimeoutError, asyncpg.PostgresConnectionError, *not_yet)):
        return Probe(Answer.SILENT, detail)
    return Probe(Answer.REFUSED, detail)


async def _create_database(state: ServerState, host: str) -> None:
    connection = await _connect(state, host, "postgres")
    try:
        await connection.execute(_STATEMENTS["create_database"].sql, timeout=60)
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        return  # a neighbour found it missing at the same moment
    finally:
        connection.terminate()


async def _connect(state: ServerState, host: str, database: str) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(
        host=host,
        port=state.port,
        user=SUPERUSER,
        password=state.password,
        database=database,
        ssl=False,
        timeout=_ATTEMPT_SECONDS,
        statement_cache_size=0,
        server_settings={"application_name": "holdfast embedded probe"},
    )
