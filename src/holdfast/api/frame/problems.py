"""Errors as ``application/problem+json`` (RFC 9457): what happened, what stands in the way, what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Route

from holdfast.db import DRIVER_ERRORS, Fault, classify
from holdfast.errors import (
    DatabaseUnavailable,
    HoldfastError,
    NoSuchPath,
    NotStorable,
    ReadOnly,
    RequestError,
    StatementTooSlow,
    TooManyRequests,
)
from holdfast.telemetry import get_logger

log = get_logger("api")

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 5
_CANCELLED_BY_TIMEOUT, _LOCK_NOT_AVAILABLE = "57014", "55P03"


class InvalidField(BaseModel):
    """One part of a request that does not fit."""

    loc: list[str | int] = Field(description="where it stands: body, query, path or header, then the names")
    message: str
    type: str


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    type: str = Field(description="urn:holdfast:error: and the code")
    title: str
    status: int
    detail: str
    code: str = Field(description="stable; the words around it are not")
    remedy: str | None = None
    state: str | None = Field(default=None, description="what stands in the way: the state of the thing")
    actions: list[str] | None = Field(default=None, description="what is legal in that state")
    errors: list[InvalidField] | None = None
    request_id: str


def answer(request: Request, error: Exception) -> JSONResponse:
    """The response to an error, whatever raised it."""
    if isinstance(error, RequestValidationError):
        return _invalid(request, error)
    if isinstance(error, HTTPException):
        return _of_router(request, error)
    known = error if isinstance(error, HoldfastError) else _translated(error)
    if known is None:
        log.error("request %s failed: %s %s", request_id_of(request), request.method, request.url.path, exc_info=error)
        known = HoldfastError("the server made a mistake", remedy="look for the request id in its log")
    elif known.http_status >= 500:
        log.warning("request %s: %s", request_id_of(request), known.message)
    return problem(request, known)


def problem(request: Request, error: HoldfastError, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error of the tree as a response."""
    state, actions = getattr(error, "state", None), getattr(error, "actions", None)
    body = Problem(
        type=f"urn:holdfast:error:{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=error.http_status,
        detail=error.message,
        code=error.code,
        remedy=error.remedy,
        state=state,
        actions=None if state is None else list(actions or ()),
        request_id=request_id_of(request),
    )
    return _response(body, {**_headers(error), **(headers or {})})


def request_id_of(request: Request) -> str:
    """The id of this request, as it is in the log, in the audit and in the answer."""
    return str(getattr(request.state, "request_id", ""))


def _headers(error: HoldfastError) -> dict[str, str]:
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after_seconds)))}
    if error.http_status == 503:
        return {"Retry-After": str(_RETRY_SECONDS)}
    return {"WWW-Authenticate": 'Bearer realm="holdfast"'} if error.http_status == 401 else {}


def _translated(error: Exception) -> HoldfastError | None:
    """What an error of the driver means to somebody who sent a request; ``None``: a mistake of ours."""
    if not isinstance(error, DRIVER_ERRORS):
        return None
    fault, sqlstate = classify(error), getattr(error, "sqlstate", None)
    if sqlstate in (_CANCELLED_BY_TIMEOUT, _LOCK_NOT_AVAILABLE) or isinstance(error, TimeoutError):
        return StatementTooSlow("the database did not answer in time", remedy="try again in a moment")
    if fault is Fault.READ_ONLY:
        return ReadOnly("the database only reads: it is a standby", remedy="use the server of the primary")
    if fault is Fault.CONTENDED:
        return StatementTooSlow("others were at the same rows", remedy="try again")
    if fault.of_connection:
        return DatabaseUnavailable("the database cannot be reached just now", remedy="try again in a moment")
    if fault is Fault.ROW:
        return NotStorable(
            "PostgreSQL cannot store a value of this request", remedy="look for NUL characters and numbers out of range"
        )
    return None


def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    fields = [
        InvalidField(
            loc=list(found["loc"]), message=str(found["msg"]).removeprefix("Value error, "), type=str(found["type"])
        )
        for found in error.errors()
    ]
    body = Problem(
        type="urn:holdfast:error:request_invalid",
        title="Request invalid",
        status=422,
        detail="; ".join(f"{'.'.join(map(str, field.loc))}: {field.message}" for field in fields[:5]),
        code="request_invalid",
        remedy="correct what `errors` names",
        errors=fields,
        request_id=request_id_of(request),
    )
    return _response(body, {})


def _of_router(request: Request, error: HTTPException) -> JSONResponse:
    """What the router itself refuses: a path or a method that is not there, a body that is none."""
    if error.status_code in (404, 405):
        known: HoldfastError = NoSuchPath(
            f"there is no {request.method} {request.url.path}", remedy="the paths are in /api/v1/openapi.json"
        )
    else:
        known = RequestError(str(error.detail))
    body = Problem(
        type=f"urn:holdfast:error:{known.code}",
        title=known.code.replace("_", " ").capitalize(),
        status=error.status_code,
        detail=known.message,
        code=known.code,
        remedy=known.remedy,
        request_id=request_id_of(request),
    )
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods_of(request))
    return _response(body, headers)


def _methods_of(request: Request) -> list[str]:
    """What can be done at this path; the router only knows of the first route there."""
    path = str(request.scope["path"]).removeprefix(request.scope.get("root_path", ""))
    routes = (route for route in request.app.routes if isinstance(route, Route) and route.path_regex.match(path))
    return sorted({method for route in routes for method in route.methods or ()})


def _response(body: Problem, headers: dict[str, Any]) -> JSONResponse:
    # Text of a request may be in it that no JSON can hold.
    content = _encodable(body.model_dump(exclude_none=True, warnings=False))
    return JSONResponse(content, body.status, headers={"Cache-Control": "no-store", **headers}, media_type=MEDIA_TYPE)


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _encodable(part) for key, part in value.items()}
    return [_encodable(part) for part in value] if isinstance(value, list) else value
