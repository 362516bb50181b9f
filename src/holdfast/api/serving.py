"""The process that serves the API."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI

from holdfast.api.frame.frame import Frame


def serve(
    api: FastAPI,
    listening: socket.socket,
    *,
    shutdown_seconds: int = 5,
    proxies: Sequence[str] = (),
    prefix: str = "",
) -> None:
    """Serve on this socket until SIGTERM or SIGINT; open requests get a few seconds to end.

    ``proxies``: addresses whose ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed. ``prefix``: the path
    below which they show this server, and which they take off before they ask.
    """
    config = uvicorn.Config(
        api,
        log_config=None,
        access_log=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        root_path=prefix,
        server_header=False,
        timeout_graceful_shutdown=shutdown_seconds,
    )
    _Server(config, api.state.frame).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells the frame at the signal: uvicorn waits for open answers before it says anything itself."""

    def __init__(self, config: uvicorn.Config, frame: Frame) -> None:
        super().__init__(config)
        self._frame = frame

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        self._frame.drain()
        super().handle_exit(sig, frame)
