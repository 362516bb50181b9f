"""Rates: how much one caller may ask, and how many wrong credentials one address may show.

Counted by the library ``limits``, in this process or in a Redis that several processes share. A Redis that does not
answer stops nobody: a rate protects the database, and the database is still there.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import weakref
from typing import TYPE_CHECKING, Any

from holdfast.clock import monotonic, now
from holdfast.errors import ConfigurationError, TooManyRequests
from holdfast.settings import Settings
from holdfast.telemetry import get_logger

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.aio.strategies import RateLimiter

log = get_logger("api")

_STORAGE_SECONDS = 0.5
_SAY_AGAIN_SECONDS = 30.0


class Throttle:
    """The rates of one API."""

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.ratelimit_storage_uri or "memory://"
        self._asking = _parsed("api_rate", settings.api_rate)
        self._failing = _parsed("sign_in_rate", settings.sign_in_rate)
        self._limiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, RateLimiter] = weakref.WeakKeyDictionary()
        self._say_again_at = 0.0
        if self.shared and importlib.util.find_spec("redis") is None:
            raise ConfigurationError(
                "rates are to be counted in Redis, and its package is not installed",
                remedy="install it: pip install 'holdfast[redis]'",
            )

    @property
    def shared(self) -> bool:
        """Whether several processes count together."""
        return not self._uri.startswith("memory")

    async def ask(self, caller: str) -> None:
        """Count a request. Raises ``TooManyRequests``."""
        await self._hit(self._asking, "ask", caller)

    async def fail(self, address: str | None) -> None:
        """Count a wrong credential. Raises ``TooManyRequests`` instead of saying once more that it is wrong."""
        await self._hit(self._failing, "fail", address or "unknown")

    async def close(self) -> None:
        """Let go of the connections of the running event loop."""
        limiter = self._limiters.pop(asyncio.get_running_loop(), None)
        if limiter is not None and self.shared:
            storage: Any = limiter.storage
            with contextlib.suppress(Exception):
                await storage.bridge.storage.aclose()

    async def _hit(self, rate: RateLimitItem | None, what: str, caller: str) -> None:
        if rate is None:
            return
        limiter = self._limiter()
        try:
            async with asyncio.timeout(_STORAGE_SECONDS):
                if await limiter.hit(rate, what, caller):
                    return
                stats = await limiter.get_window_stats(rate, what, caller)
        except Exception as error:  # noqa: BLE001  (whatever the storage raises)
            self._complain(error)
            return
        refused = TooManyRequests(f"more than {rate}", remedy="wait as long as Retry-After says")
        refused.retry_after_seconds = max(1, round(stats.reset_time - now().timestamp()))
        raise refused

    def _limiter(self) -> RateLimiter:
        """That of the running event loop: a connection belongs to one."""
        from limits.aio.strategies import SlidingWindowCounterRateLimiter
        from limits.storage import storage_from_string

        loop = asyncio.get_running_loop()
        if loop not in self._limiters:
            options: dict[str, Any] = {}
            if self.shared:
                options = {"implementation": "redispy", "key_prefix": "holdfast"}
                options |= {"socket_timeout": _STORAGE_SECONDS, "socket_connect_timeout": _STORAGE_SECONDS}
            storage: Any = storage_from_string(f"async+{self._uri}", **options)
            self._limiters[loop] = SlidingWindowCounterRateLimiter(storage)
        return self._limiters[loop]

    def _complain(self, error: Exception) -> None:
        if monotonic() >= self._say_again_at:
            self._say_again_at = monotonic() + _SAY_AGAIN_SECONDS
            log.warning("rates are not counted: %s", str(error) or type(error).__name__)


def _parsed(name: str, text: str | None) -> RateLimitItem | None:
    if text is None or text.lower() in ("none", "off"):
        return None
    from limits import parse

    try:
        return parse(text)
    except ValueError:
        raise ConfigurationError(
            f"{name} is {text!r}, which is no rate", remedy="write it as 600/minute, 20/second or none"
        ) from None
