"""Routes of a noun. None exists without saying what it needs: there is no way to write that down.

``GuardedRoute`` is the one gate: who asks, whether they may, what they sent, and only then the function of the route.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor

from holdfast.access import NOBODY, Needs, Openness, Permission, Principal
from holdfast.api.frame.acting import Acted, act_apart, act_within, write_apart
from holdfast.api.frame.asking import Asked
from holdfast.api.frame.frame import Frame
from holdfast.api.frame.idempotency import Act, Inner
from holdfast.api.frame.problems import answer
from holdfast.api.frame.reading_bodies import StrictRequest, require_clean_query, require_json
from holdfast.api.frame.same_site import require_same_site
from holdfast.errors import AccessError, ConfigurationError, HoldfastError, ReadOnly

# A word in the place of an id is another path, or none: `/operations/preview` is no operation called "preview".
_NUMBERED = re.compile(r"\{(id|pid)\}")
F = TypeVar("F", bound=Callable[..., Any])
Method = Literal["GET", "POST", "PUT", "DELETE"]


@dataclass(frozen=True, slots=True)
class Declared:
    """One route as its noun declared it."""

    noun: str
    method: Method
    path: str
    needs: Needs
    audit: str | None = None
    """What an act is called in the audit; ``None``: it only reads."""
    apart: bool = False
    """An act of several transactions."""
    secret: bool = False
    """Its answer holds a secret, and is kept nowhere."""
    endless: bool = False
    """Its answer has no end of its own."""
    options: dict[str, Any] = field(default_factory=dict)


class _Digits(Convertor[str]):
    """What stands for an id in a path: digits, left as they are. How many may be is said where they are read."""

    regex = "[0-9]+"

    def convert(self, value: str) -> str:
        """The digits."""
        return value

    def to_string(self, value: str) -> str:
        """The digits."""
        return value


register_url_convertor("digits", _Digits())


class NounRouter:
    """The routes of one noun, in one file."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self.routes: list[tuple[Declared, Callable[..., Any]]] = []
        self._made: dict[str, list[GuardedRoute]] = {}

    def routes_below(self, prefix: str) -> list[GuardedRoute]:
        """The routes as an application takes them up. They hold nothing of it: all of a process share them.

        Reading the signature of an endpoint takes milliseconds, and there are many.
        """
        made = self._made.setdefault(prefix, [])
        made += [GuardedRoute(declared, endpoint, prefix) for declared, endpoint in self.routes[len(made) :]]
        return made

    def read(self, path: str, *, needs: Needs, endless: bool = False, **options: Any) -> Callable[[F], F]:
        """A route that looks: GET. ``options`` are those of FastAPI's ``add_api_route``.

        ``endless``: it answers until its caller goes away; it must end when ``Frame.ending`` is set.
        """
        return self._add(Declared(self.noun, "GET", path, needs, endless=endless, options=options))

    def act(
        self,
        path: str,
        *,
        needs: Needs,
        audit: str,
        apart: bool = False,
        secret: bool = False,
        method: Method = "POST",
        **options: Any,
    ) -> Callable[[F], F]:
        """A route that changes something, in one transaction with its row in the audit.

        ``audit`` names it there: ``job.cancel``. ``apart``: it is made of several transactions, because what it does
        must be seen by others before it has ended; then the audit has a row for the beginning and one for the end.
        ``secret``: what it answers is shown once, and kept for no idempotency key.
        """
        return self._add(Declared(self.noun, method, path, needs, audit, apart, secret, options=options))

    def _add(self, declared: Declared) -> Callable[[F], F]:
        path = declared.path
        if not path.startswith("/") or path.endswith("/"):
            raise ConfigurationError(f"{path!r} of {self.noun} must begin with a slash and end without one")

        def declare(endpoint: F) -> F:
            self.routes.append((declared, endpoint))
            return endpoint

        return declare


class GuardedRoute(APIRoute):
    """The route of a declaration. Whatever goes wrong in it is answered as a problem."""

    def __init__(self, declared: Declared, endpoint: Callable[..., Any], prefix: str) -> None:
        self.declared = declared
        options: dict[str, Any] = {
            "name": f"{declared.noun}.{endpoint.__name__}",
            "operation_id": endpoint.__name__,
            "tags": [declared.noun],
            "openapi_extra": {"x-needs": declared.needs.value, "security": _security(declared.needs)},
        }
        path = prefix + _NUMBERED.sub(r"{\1:digits}", declared.path)
        super().__init__(path, endpoint, methods=[declared.method], **{**options, **declared.options})

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
        who = NOBODY
        try:
            who = await frame.principal_of(request)
            await frame.demand_rate(request, who)
            self._admit(frame, request, who)
            if self.declared.audit is None:
                return await self._read(frame, request, who, inner)
        except AccessError as error:
            await self._write_denial(frame, request, who, error)
            raise
        await require_json(request)
        act = Act(self.declared.audit, inner, keeps_answer=not self.declared.secret)
        if self.declared.apart:
            return await act_apart(frame.app, request, who, act, await frame.reading())
        return await act_within(frame.app, request, who, act)

    async def _read(self, frame: Frame, request: Request, who: Principal, inner: Inner) -> Response:
        request.state.asked = Asked(frame.app, request, who, await frame.reading())
        return _conditional(request, await inner(request))

    def _admit(self, frame: Frame, request: Request, who: Principal) -> None:
        who.demand(self.declared.needs)
        if self.declared.audit is not None:
            require_same_site(request, who, frame.origins)
            if frame.read_only and isinstance(self.declared.needs, Permission):
                raise ReadOnly("this server only reads", remedy="use one without HOLDFAST_READ_ONLY")

    async def _write_denial(self, frame: Frame, request: Request, who: Principal, error: AccessError) -> None:
        """Say in the audit who was refused what. Whoever only asks who they are, and is nobody, was refused nothing."""
        declared = self.declared
        is_question = declared.needs is Openness.SIGNED_IN and declared.audit is None
        if is_question and who is NOBODY and "authorization" not in request.headers:
            return
        try:
            rooms = await frame.reading()
        except HoldfastError:
            return  # without a database there is no audit, and the refusal stands all the same
        acted = Acted(frame.app, request, who, rooms, declared.audit or f"{declared.noun}.read")
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
