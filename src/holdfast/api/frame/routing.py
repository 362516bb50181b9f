"""Routes of a noun. None exists without saying what it needs: there is no way to write that down.

``GuardedRoute`` is the one gate: who asks, whether they may, what they sent, and only then the function of the route.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute

from holdfast.access import Needs, Openness, Principal
from holdfast.api.frame.acting import Acted, Inner, act_apart, act_within, write_apart
from holdfast.api.frame.asking import Asked
from holdfast.api.frame.frame import Frame
from holdfast.api.frame.problems import answer
from holdfast.api.frame.reading_bodies import StrictRequest, require_clean_query, require_json
from holdfast.api.frame.same_site import require_same_site
from holdfast.errors import AccessError, ConfigurationError, ReadOnly

F = TypeVar("F", bound=Callable[..., Any])
Method = Literal["GET", "POST", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True)
class Declared:
    """One route as its noun declared it."""

    noun: str
    method: Method
    path: str
    endpoint: Callable[..., Any]
    needs: Needs
    audit: str | None = None
    """What an act is called in the audit; ``None``: it only reads."""
    apart: bool = False
    """An act of several transactions."""
    options: dict[str, Any] = field(default_factory=dict)


class NounRouter:
    """The routes of one noun, in one file."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.routes: list[Declared] = []

    def read(self, path: str, *, needs: Needs, **options: Any) -> Callable[[F], F]:
        """A route that looks: GET. ``options`` are those of FastAPI's ``add_api_route``."""
        return self._declare("GET", path, needs, None, apart=False, options=options)

    def act(
        self, path: str, *, needs: Needs, audit: str, apart: bool = False, method: Method = "POST", **options: Any
    ) -> Callable[[F], F]:
        """A route that changes something, in one transaction with its row in the audit.

        ``audit`` names it there: ``job.cancel``. ``apart``: it is made of several transactions, because what it does
        must be seen by others before it has ended; then the audit has a row for the beginning and one for the end.
        """
        return self._declare(method, path, needs, audit, apart=apart, options=options)

    def _declare(
        self, method: Method, path: str, needs: Needs, audit: str | None, *, apart: bool, options: dict[str, Any]
    ) -> Callable[[F], F]:
        def declare(endpoint: F) -> F:
            if not path.startswith("/") or path.endswith("/"):
                raise ConfigurationError(f"{path!r} of {self.noun} must begin with a slash and end without one")
            self.routes.append(Declared(self.noun, method, path, endpoint, needs, audit, apart, options))
            return endpoint

        return declare


class GuardedRoute(APIRoute):
    """The route of a declaration. Whatever goes wrong in it is answered as a problem."""

    def __init__(self, declared: Declared, prefix: str) -> None:
        self.declared = declared
        needs = declared.needs.value
        options: dict[str, Any] = {
            "name": f"{declared.noun}.{declared.endpoint.__name__}",
            "operation_id": declared.endpoint.__name__,
            "tags": [declared.noun],
            "openapi_extra": {"x-needs": needs, "security": _security(declared.needs)},
        }
        super().__init__(
            prefix + declared.path, declared.endpoint, methods=[declared.method], **{**options, **declared.options}
        )

    def get_route_handler(self) -> Callable[[Request], Any]:
        """The gate around FastAPI's own handler, which reads parameters, calls the function and writes its answer."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            try:
                return await self._pass(strict, inner)
            except Exception as error:  # noqa: BLE001  (each becomes an answer; what is unknown is logged)
                return answer(request, error)

        return handle

    async def _pass(self, request: Request, inner: Inner) -> Response:
        frame: Frame = request.app.state.frame
        require_clean_query(request)
        who = await frame.principal_of(request)
        try:
            await self._admit(frame, request, who)
        except AccessError as error:
            await _write_denial(frame, request, who, self.declared, error)
            raise
        if self.declared.audit is None:
            rooms = await frame.reading()
            request.state.asked = Asked(frame.app, request, who, rooms)
            return _conditional(request, await inner(request))
        await require_json(request)
        if self.declared.apart:
            return await act_apart(frame.app, request, who, self.declared.audit, inner, await frame.reading())
        await frame.app.open()
        return await act_within(frame.app, request, who, self.declared.audit, inner)

    async def _admit(self, frame: Frame, request: Request, who: Principal) -> None:
        who.demand(self.declared.needs)
        if self.declared.audit is not None:
            require_same_site(request, who, frame.origins)
            if frame.read_only and self.declared.needs is not Openness.ANYBODY:
                raise ReadOnly("this server only reads", remedy="use one without HOLDFAST_READ_ONLY")


async def _write_denial(frame: Frame, request: Request, who: Principal, declared: Declared, error: AccessError) -> None:
    action = declared.audit or f"{declared.noun}.read"
    await frame.app.open()
    acted = Acted(frame.app, request, who, frame.app.rooms_over(frame.app.database), action)
    acted.target("path", request.url.path)
    await write_apart(frame.app, acted.entry("denied", error))


def _conditional(request: Request, response: Response) -> Response:
    """An answer that the asker has already is not sent again."""
    is_json = response.headers.get("content-type", "").startswith("application/json")
    if response.status_code != 200 or not is_json or not hasattr(response, "body"):
        return response
    tag = f'W/"{hashlib.sha256(bytes(response.body)).hexdigest()[:32]}"'
    response.headers["ETag"] = tag
    response.headers.setdefault("Cache-Control", "private, no-cache")
    asked = {part.strip() for part in request.headers.get("if-none-match", "").split(",")}
    if tag in asked or "*" in asked:
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": response.headers["Cache-Control"]})
    return response


def _security(needs: Needs) -> list[dict[str, list[str]]]:
    return [] if needs is Openness.ANYBODY else [{"bearer": []}, {"session": []}]
