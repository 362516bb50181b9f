"""A probe asks a source for its fingerprint, so that a run whose source is unchanged is skipped, and said to be.

A fingerprint that cannot be had proves nothing: then the job runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct, field

from holdfast.errors import ConfigurationError

Probe: TypeAlias = Callable[[], Awaitable[object] | object]
"""Returns the fingerprint of a source: anything whose text is the same as long as the source is; None: cannot say."""

_LONGEST_TEXT: Final = 200


class HttpProbe(Struct, frozen=True):
    """The fingerprint of what stands at a URL: its ETag, or Last-Modified and size, or the size alone.

    Asks with HEAD, follows redirects, and gives up after ``timeout_seconds``. A page that sends none of the three has
    no fingerprint. Raises ``OSError`` when the server cannot be asked.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ConfigurationError(f"a probe asks http:// or https://, not {self.url!r}")

    def __call__(self) -> str | None:
        """Ask once."""
        import urllib.request  # who asks no page does not load it

        request = urllib.request.Request(self.url, method="HEAD", headers=dict(self.headers))  # noqa: S310 - checked above
        with urllib.request.urlopen(request, timeout=self.timeout_seconds) as answer:  # noqa: S310 - as above
            told = answer.headers
            if tag := told.get("ETag"):
                # A weak tag promises the same meaning, not the same bytes: that is what is asked.
                return f"etag {tag.removeprefix('W/')}"
            changed, size = told.get("Last-Modified"), told.get("Content-Length")
            return f"changed {changed or '-'} size {size or '-'}" if changed or size else None


class FileProbe(Struct, frozen=True):
    """The fingerprint of a file: when it was changed, and its size. No file, no fingerprint."""

    path: Path | str

    def __call__(self) -> str | None:
        """Look once."""
        try:
            found = Path(self.path).stat()
        except FileNotFoundError:
            return None
        return f"changed {found.st_mtime_ns} size {found.st_size}"


async def fingerprint_of(probe: Probe, timeout_seconds: float) -> str | None:
    """Ask, within the time; plain functions in a thread. Raises what the probe raises, or ``TimeoutError``."""
    async with asyncio.timeout(timeout_seconds):
        told: Any
        if inspect.iscoroutinefunction(probe):
            told = await probe()
        else:
            told = await asyncio.to_thread(probe)
            if inspect.isawaitable(told):
                told = await told
    return None if told is None else _as_text(told)


def probe_name(probe: Probe) -> str:
    """How people are told of it."""
    if isinstance(probe, HttpProbe):
        return f"HEAD {probe.url}"
    if isinstance(probe, FileProbe):
        return f"file {probe.path}"
    return getattr(probe, "__qualname__", type(probe).__name__)


def _as_text(told: object) -> str:
    """Short fingerprints as they are, long ones (a whole page, say) by their hash."""
    data = told if isinstance(told, bytes) else str(told).encode()
    if isinstance(told, bytes) or len(data) > _LONGEST_TEXT or b"\0" in data:
        return f"sha256 {hashlib.sha256(data).hexdigest()}"
    return data.decode()
