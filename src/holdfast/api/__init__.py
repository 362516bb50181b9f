"""The HTTP API: ``create_api(app)`` is a FastAPI application, to be served alone or mounted in another."""

from __future__ import annotations

from holdfast.api.frame.application import create_api
from holdfast.api.serving import serve

__all__ = ["create_api", "serve"]
