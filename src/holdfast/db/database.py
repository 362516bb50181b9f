"""The database as the rooms above see it: two pools, one way to run a statement, one way to a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, Self

import asyncpg

from holdfast.clock import monotonic
from holdfast.db.faults import DRIVER_ERRORS, Fault, classify, classify_connect
from holdfast.db.held import HeldConnection
from holdfast.db.sessions import Session, SessionFacts, connect_session, describe_url, inspect_session
from holdfast.db.statements import Statement
from holdfast.errors import DatabaseUnavailable
from holdfast.telemetry import emit, get_logger

log = get_logger("db")

PoolName = Literal["control", "user"]

_LOG_EVERY_SECONDS = 5.0
# Added to a deadline at the most: after it, the connection is cut instead of reset.
_RELEASE_SECONDS = 1.0
# asyncpg's 50 000 would have a busy process reconnect every few seconds.
_STATEMENTS_PER_CONNECTION = 5_000_000
_SAFE_TO_REPEAT = (Fault.READ_ONLY, Fault.STALE_PLAN, Fault.POOLER)


class Database:
    """Two pools to one PostgreSQL database.

    ``control`` carries what keeps the process honest (claims, flushes, beats); ``user`` carries everything an
    application does (enqueue, ``job.transaction()``). They are apart so that an application that uses up its
    connections cannot stop the process from renewing its leases (T36). Connections are made when first needed, so many
    small processes cost the server little.
    """

    def __init__(
        self,
        url: str,
        *,
        direct_url: str | None = None,
        application_name: str = "holdfast",
        pooled: bool | None = None,
        control_size: int = 4,
        user_size: int = 10,
    ) -> None:
        """``pooled`` says whether ``url`` leads through a transaction-mode pooler; ``None`` finds out in ``open``."""
        self.url = url
        self.application_name = application_name
        self.server_version = 0
        self._direct_url = direct_url
        self._pooled = pooled
        self._sizes: dict[PoolName, int] = {"control": control_size, "user": user_size}
        self._pools: dict[PoolName, asyncpg.Pool] = {}
        self._spare: Session | None = None

    @property
    def pooled(self) -> bool:
        """Whether a pooler stands between: then no prepared statements, no session settings, no LISTEN on ``url``."""
        return bool(self._pooled)

    @property
    def direct_url(self) -> str | None:
        """The URL for LISTEN and migrations; ``None`` when only a pooled one is known."""
        return self._direct_url or (None if self.pooled else self.url)

    @property
    def control(self) -> asyncpg.Pool:
        """The pool for claims, flushes and beats."""
        return self._pool("control")

    @property
    def user(self) -> asyncpg.Pool:
        """The pool for what applications do."""
        return self._pool("user")

    async def open(self, deadline_seconds: float = 30.0) -> None:
        """Connect once, look at the server, and open both pools; waits for a server that is not there yet.

        Raises ``DatabaseUnavailable`` after the deadline, and at once when the login is refused.
        """
        if self._pools:
            return
        self._spare, facts = await self._first_session(deadline_seconds)
        self.server_version = facts.server_version
        if self._pooled is None:
            self._pooled = facts.pooled
        emit("db.connected", url=describe_url(self.url), server_version=self.server_version, pooled=self.pooled)
        try:
            for name, size in self._sizes.items():
                self._pools[name] = await asyncpg.create_pool(
                    self.url,
                    min_size=0,
                    max_size=size,
                    max_queries=_STATEMENTS_PER_CONNECTION,
                    connect=self._connector(name),
                    connection_class=Session,
                )
        except BaseException:
            await self.close(0)
            raise

    async def close(self, deadline_seconds: float = 5.0) -> None:
        """Close both pools. Connections that are still in use after the deadline are cut; never hangs, never raises."""
        pools, self._pools = list(self._pools.values()), {}
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.terminate()
        await asyncio.gather(*(_close_pool(pool, deadline_seconds) for pool in pools))

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def fetch(
        self, statement: Statement, *params: Any, pool: PoolName = "user", timeout_seconds: float = 60.0
    ) -> list[Any]:
        """Run a statement, return its rows.

        Repeated once, on a new connection, only when the server provably did nothing (read-only, stale plan, pooler).
        A connection that dies under the statement raises as it is: whether it committed is unknown, and only the
        caller knows whether it may be repeated.
        """
        return list(await self._run("fetch", statement, params, pool, timeout_seconds))

    async def fetchrow(
        self, statement: Statement, *params: Any, pool: PoolName = "user", timeout_seconds: float = 60.0
    ) -> Any:
        """Run a statement, return its first row or ``None``; repeats like ``fetch``."""
        return await self._run("fetchrow", statement, params, pool, timeout_seconds)

    async def fetchval(
        self, statement: Statement, *params: Any, pool: PoolName = "user", timeout_seconds: float = 60.0
    ) -> Any:
        """Run a statement, return the first column of its first row or ``None``; repeats like ``fetch``."""
        return await self._run("fetchval", statement, params, pool, timeout_seconds)

    async def execute(
        self, statement: Statement, *params: Any, pool: PoolName = "user", timeout_seconds: float = 60.0
    ) -> str:
        """Run a statement, return its status line; repeats like ``fetch``."""
        return str(await self._run("execute", statement, params, pool, timeout_seconds))

    @contextlib.asynccontextmanager
    async def connection(self, pool: PoolName = "user", *, timeout_seconds: float = 30.0) -> AsyncIterator[Any]:
        """Lend a connection; it is reset when it comes back, and cut if that does not work in time."""
        owner = self._pool(pool)
        connection = await self._lend(owner, timeout_seconds)
        try:
            yield connection
        finally:
            await _release(owner, connection)

    def hold(self, pool: PoolName = "control") -> HeldConnection:
        """A connection kept between statements, for whoever sends many of them one after the other."""

        async def take(timeout_seconds: float) -> Any:
            return await self._lend(self._pool(pool), timeout_seconds)

        async def give_back(connection: Any) -> None:
            if pool in self._pools:
                await _release(self._pools[pool], connection)

        async def recover(fault: Fault, error: Exception) -> None:
            await self._recover(pool, fault, error)

        return HeldConnection(take, give_back, recover)

    async def connect_direct(self, *, timeout_seconds: float = 10.0) -> Any | None:
        """A connection outside the pools, to the direct URL; ``None`` when only a pooled URL is known.

        One attempt: whoever calls it has its own idea of when to try again.
        """
        url = self.direct_url
        if url is None:
            return None
        return await connect_session(
            url, application_name=self.application_name, pooled=False, timeout_seconds=timeout_seconds
        )

    async def connect_apart(self, *, timeout_seconds: float = 10.0) -> Any:
        """A connection outside the pools for `migrate` and its kin: to the direct URL, or else through the pooler.

        Call it after ``open``, which finds out whether there is a pooler.
        """
        direct = await self.connect_direct(timeout_seconds=timeout_seconds)
        if direct is not None:
            return direct
        return await connect_session(
            self.url, application_name=self.application_name, pooled=True, timeout_seconds=timeout_seconds
        )

    def _pool(self, name: PoolName) -> asyncpg.Pool:
        try:
            return self._pools[name]
        except KeyError:
            raise DatabaseUnavailable(
                "the database is not open", remedy="call `await database.open()` first, and nothing after `close()`"
            ) from None

    async def _run(
        self, method: str, statement: Statement, params: tuple[Any, ...], name: PoolName, timeout_seconds: float
    ) -> Any:
        try:
            return await self._run_once(method, statement, params, name, timeout_seconds)
        except Exception as error:
            fault = classify(error)
            if fault not in _SAFE_TO_REPEAT:
                raise
            await self._recover(name, fault, error)
        try:
            return await self._run_once(method, statement, params, name, timeout_seconds)
        except asyncpg.ReadOnlySQLTransactionError as error:
            raise self._read_only() from error

    async def _run_once(
        self, method: str, statement: Statement, params: tuple[Any, ...], name: PoolName, timeout_seconds: float
    ) -> Any:
        pool = self._pool(name)
        connection = await self._lend(pool, timeout_seconds)
        try:
            result = await getattr(connection, method)(statement.sql, *params, timeout=timeout_seconds)
            connection.left_clean()
            return result
        finally:
            await _release(pool, connection)

    async def _lend(self, pool: asyncpg.Pool, timeout_seconds: float) -> Any:
        """Take a connection from a pool; waits for a free one, and for a server that is away for a moment."""
        delay, last = 0.02, None
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    try:
                        return await pool.acquire()
                    except (OSError, asyncpg.PostgresError, asyncpg.TargetServerAttributeNotMatched) as error:
                        # Nothing was sent yet, so waiting and trying again is always right.
                        if classify_connect(error) not in (Fault.NOT_THERE_YET, Fault.READ_ONLY):
                            raise
                        last = error
                    await asyncio.sleep(delay * random.uniform(0.5, 1.5))
                    delay = min(delay * 2, 1.0)
        except TimeoutError:
            if last is None:
                raise DatabaseUnavailable(
                    f"all {pool.get_max_size()} connections of the pool were in use for {timeout_seconds:g} s",
                    remedy="give connections back sooner, or enlarge the pool",
                ) from None
            raise self._unavailable(timeout_seconds, classify_connect(last), last) from last

    async def _recover(self, name: PoolName, fault: Fault, error: Exception) -> None:
        """Make the next connection a new one that does not have this fault."""
        log.warning("%s pool connects anew (%s): %s", name, fault.value, error)
        if fault is Fault.POOLER:
            self._pooled = True
        # Those in use are replaced when they come back.
        await self._pool(name).expire_connections()

    def _connector(self, name: PoolName) -> Callable[..., Any]:
        async def connect(*_args: Any, **_options: Any) -> Session:
            # What asyncpg passes is ignored on purpose: whether a pooler stands between may be learned later.
            if name != "control":
                return await self._connect(control=False)
            spare, self._spare = self._spare, None
            if spare is not None and not spare.is_closed():
                return spare
            return await self._connect(control=True)

        return connect

    async def _connect(self, *, control: bool) -> Session:
        return await connect_session(
            self.url, application_name=self.application_name, pooled=self.pooled, control=control
        )

    async def _first_session(self, deadline_seconds: float) -> tuple[Session, SessionFacts]:
        """Connect and inspect until it works, the login is refused, or the deadline is over."""
        give_up_at, say_again_at, delay = monotonic() + deadline_seconds, 0.0, 0.05
        while True:
            try:
                async with asyncio.timeout(max(give_up_at - monotonic(), 0.05)):
                    return await self._connect_and_inspect()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                fault, last = classify_connect(error), error
            if fault is Fault.LOGIN_REFUSED:
                raise self._refused(last) from last
            if fault not in (Fault.NOT_THERE_YET, Fault.READ_ONLY):
                raise last
            now = monotonic()
            if now + delay >= give_up_at:
                raise self._unavailable(deadline_seconds, fault, last) from last
            if now >= say_again_at:
                emit("db.unavailable", url=describe_url(self.url), fault=fault.value, error=str(last))
                say_again_at = now + _LOG_EVERY_SECONDS
            # Jitter: after a restart of the server all processes would otherwise come back in step.
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))
            delay = min(delay * 1.6, 1.0)

    async def _connect_and_inspect(self) -> tuple[Session, SessionFacts]:
        try:
            session = await self._connect(control=True)
        except asyncpg.PostgresError as error:
            if classify_connect(error) is not Fault.POOLER or self._pooled is not None:
                raise
            # It refused our session settings, as PgBouncer does.
            self._pooled = True
            session = await self._connect(control=True)
        try:
            facts = await inspect_session(session)
            if facts.pooled and self._pooled is None:
                # A pooler that swallowed the settings in silence; the session still has a statement cache.
                self._pooled = True
                session.terminate()
                session = await self._connect(control=True)
                facts = await inspect_session(session)
        except BaseException:
            session.terminate()
            raise
        return session, facts

    def _unavailable(self, deadline_seconds: float, fault: Fault, error: Exception) -> DatabaseUnavailable:
        if fault is Fault.READ_ONLY:
            return self._read_only()
        why = str(error) or type(error).__name__
        return DatabaseUnavailable(
            f"no answer from {describe_url(self.url)} within {deadline_seconds:g} s: {why}",
            remedy="start the server, or check host and port in HOLDFAST_DATABASE_URL",
        )

    def _refused(self, error: Exception) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"{describe_url(self.url)} refused the login: {error}",
            remedy="check user, password, database and TLS options in HOLDFAST_DATABASE_URL, and pg_hba.conf",
        )

    def _read_only(self) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"{describe_url(self.url)} accepts no writes",
            remedy="point HOLDFAST_DATABASE_URL at the primary, or list all hosts in it so that the primary is found",
        )


async def _release(pool: asyncpg.Pool, connection: Any) -> None:
    """Give a connection back. One that cannot be reset is replaced by the pool; that is no error of the caller's."""
    try:
        await pool.release(connection, timeout=_RELEASE_SECONDS)
    except DRIVER_ERRORS as error:
        log.debug("connection dropped instead of reset: %s", error)


async def _close_pool(pool: asyncpg.Pool, deadline_seconds: float) -> None:
    try:
        async with asyncio.timeout(deadline_seconds):
            await pool.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        log.debug("pool cut after %g s: %r", deadline_seconds, error)
        pool.terminate()
