"""Acts: one transaction that holds what a route does, its row in the audit and its idempotency key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError

from holdfast.access import Audit, Entry, Principal, Result, hides, restored
from holdfast.api.frame.asking import STATEMENT_SECONDS, Asked
from holdfast.api.frame.idempotency import Act, RequestKey
from holdfast.api.frame.problems import request_id_of
from holdfast.app import Holdfast, Rooms
from holdfast.db import DRIVER_ERRORS, transaction
from holdfast.errors import AccessError, HoldfastError, RequestError, ValueRefused
from holdfast.telemetry import get_logger

log = get_logger("api")


class Acted(Asked):
    """One request that changes something: the consoles are on one transaction, the audit's row is in it too."""

    def __init__(self, app: Holdfast, request: Request, who: Principal, rooms: Rooms, action: str) -> None:
        super().__init__(app, request, who, rooms)
        self.action = action
        self._target: tuple[str | None, str | None] = (None, None)
        self._reason: str | None = None
        self._before: Any = None
        self._after: Any = None
        self._afterwards: list[Callable[[], None]] = []

    def act_as(self, who: Principal) -> None:
        """From now on it is this principal who acts: somebody has just signed in."""
        self.who = who

    def target(self, kind: str, name: int | str) -> None:
        """Say what it is done to: ``acting.target("job", id)``."""
        self._target = (kind, str(name))

    def note(self, *, before: Any = None, after: Any = None, reason: str | None = None) -> None:
        """Say how it was and how it is, and why; what looks secret is left out of the audit."""
        self._before = before if before is not None else self._before
        self._after = after if after is not None else self._after
        self._reason = reason or self._reason

    def meant(self, args: dict[str, Any], shown_of: Any) -> dict[str, Any]:
        """Arguments that a person sends who was shown others with their secrets hidden: those are as they were.

        Raises ``ValueRefused`` for a secret that is hidden and stands in no others.
        """
        wanted: dict[str, Any] = restored(args, shown_of)
        hidden = hides(wanted)
        if hidden is not None:
            raise ValueRefused(f"the value of {hidden!r} is hidden, not known", remedy="write what it is to be")
        return wanted

    def afterwards(self, do: Callable[[], None]) -> None:
        """Do this once the act is committed: what a process knows beside the database follows it, never leads."""
        self._afterwards.append(do)

    def follow_up(self) -> None:
        """It is committed."""
        for do in self._afterwards:
            do()

    def entry(self, result: Result, error: Exception | None = None) -> Entry:
        """The row of the audit."""
        kind, target = self._target
        code, detail = _told(error)
        return Entry(
            actor=self.who.name,
            actor_kind=self.who.kind,
            action=self.action,
            result=result,
            target_kind=kind,
            target=target,
            reason=self._reason,
            before=self._before,
            after=self._after,
            code=code,
            detail=detail,
            request_id=request_id_of(self.request),
            client=client_of(self.request),
        )


def _acting(request: Request) -> Acted:
    acted: Acted = request.state.asked
    return acted


Acting = Annotated[Acted, Depends(_acting)]
"""A parameter of a route that changes something: ``async def cancel(acting: Acting, id: JobId) -> …``."""


async def act_within(app: Holdfast, request: Request, who: Principal, act: Act) -> Response:
    """Run an act and write its row, both or neither; a failure leaves a row of its own."""
    acted: Acted | None = None
    try:
        async with transaction(app.database, statement_seconds=STATEMENT_SECONDS) as handle:
            acted = request.state.asked = Acted(app, request, who, app.rooms_over(handle), act.action)
            key = RequestKey.of(request, handle, who, act)
            if key is not None and (answered := await key.take()) is not None:
                return answered
            response = await act.inner(request)
            await Audit(handle).write(acted.entry("done"))
            if key is not None:
                await key.keep(response)
    except (RequestValidationError, RequestError):
        raise  # nothing was tried
    except Exception as error:
        if acted is not None:
            await write_apart(app, acted.entry(_result_of(error), error))
        raise
    acted.follow_up()
    return response


async def act_apart(app: Holdfast, request: Request, who: Principal, act: Act, rooms: Rooms) -> Response:
    """Run an act that is made of several transactions: a row that it has begun, and one that tells how it ended."""
    acted = request.state.asked = Acted(app, request, who, rooms, act.action)
    key = RequestKey.of(request, rooms.database, who, act)
    if key is not None and (answered := await key.take()) is not None:
        return answered
    try:
        await Audit(rooms.database).write(acted.entry("begun"))
        response = await act.inner(request)
    except Exception as error:
        if key is not None:
            await key.give_back()
        if not isinstance(error, RequestValidationError | RequestError):
            await write_apart(app, acted.entry(_result_of(error), error))
        raise
    await Audit(rooms.database).write(acted.entry("done"))
    if key is not None:
        await key.keep(response)
    acted.follow_up()
    return response


def _result_of(error: Exception) -> Result:
    return "denied" if isinstance(error, AccessError) else "failed"


async def write_apart(app: Holdfast, entry: Entry) -> None:
    """Write a row that no act commits. Where the database takes none, the log has it."""
    try:
        await Audit(app.database).write(entry)
    except (*DRIVER_ERRORS, HoldfastError) as error:
        log.warning("no audit row: %s; %s %s by %s: %s", error, entry.action, entry.result, entry.actor, entry.detail)


def client_of(request: Request) -> str | None:
    """The address that the request came from."""
    return request.client.host if request.client else None


def _told(error: Exception | None) -> tuple[str | None, str | None]:
    if error is None:
        return None, None
    if isinstance(error, HoldfastError):
        return error.code, error.message
    return "failed", type(error).__name__
