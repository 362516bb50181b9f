"""The description of the API: one problem type for every error, and how to show who one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from holdfast.access import PUBLIC, Permission
from holdfast.api.frame.frame import Frame
from holdfast.api.frame.problems import MEDIA_TYPE, Problem

_ERRORS = {
    "400": "The request cannot be read.",
    "401": "No credential, or none that is valid.",
    "403": "The credential does not permit it; `detail` names the permission.",
    "404": "It does not exist, or not any more.",
    "409": "Not legal in its state; `state` and `actions` say what is.",
    "413": "The body or the address is too large.",
    "415": "The body is no JSON by its content type.",
    "422": "A value does not fit; `errors` says which.",
    "429": "The rate limit is used up; `Retry-After` says for how long.",
    "503": "The database cannot answer now; `Retry-After` says when to try again.",
}


def describe(api: FastAPI) -> Callable[[], dict[str, Any]]:
    """What ``api.openapi`` becomes."""

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _described(api)
        return api.openapi_schema

    return openapi


def _described(api: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "a token of this server, or an OIDC one"},
        "session": {"type": "apiKey", "in": "cookie", "name": "holdfast_session"},
    }
    frame: Frame = api.state.frame
    for path in document.get("paths", {}).values():
        for operation in path.values():
            _with_errors(operation)
            if _is_open(frame, operation):
                operation["security"] = [*operation["security"], {}]
    return document


def _is_open(frame: Frame, operation: dict[str, Any]) -> bool:
    """Whether this server answers it without a credential; one that is sent is looked at all the same."""
    if not operation.get("security"):
        return False
    if not frame.guarded:
        return True
    needs = operation["x-needs"]
    return frame.settings.public_read and (needs not in set(Permission) or PUBLIC.may(Permission(needs)))


def _with_errors(operation: dict[str, Any]) -> None:
    if "x-needs" not in operation:
        return
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses = operation["responses"]
    for status, meaning in _ERRORS.items():
        responses[status] = {"description": meaning, "content": content}
    if "etag" not in responses and "200" in responses:
        responses["304"] = {"description": "The answer is the one that `If-None-Match` names."}
