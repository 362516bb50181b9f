"""The HTTP API: ``create_api(app)`` is a FastAPI application, to be served alone or mounted in another.

A project that adds a page to the dashboard writes what the page asks with ``NounRouter``, as the nouns of this room do.
"""

from __future__ import annotations

from holdfast.api.frame.acting import Acting
from holdfast.api.frame.application import create_api
from holdfast.api.frame.asking import Asking
from holdfast.api.frame.routing import NounRouter
from holdfast.api.frame.values import Body, Cursor, Id, Limit, Moment, Name, Page, Reason, page_of
from holdfast.api.serving import serve

__all__ = [
    "Acting",
    "Asking",
    "Body",
    "Cursor",
    "Id",
    "Limit",
    "Moment",
    "Name",
    "NounRouter",
    "Page",
    "Reason",
    "create_api",
    "page_of",
    "serve",
]
