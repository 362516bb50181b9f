"""Who asks and what they ask it of: what every route is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Request

from holdfast.access import Needs, Permission, Principal, redacted
from holdfast.app import Holdfast, Rooms
from holdfast.db import Database
from holdfast.errors import AccessError
from holdfast.events import EventLog
from holdfast.events import projections as projecting
from holdfast.jobs import Batches, Failures, Jobs, LimitConsole, Operations, Queues
from holdfast.schedules import Schedules

STATEMENT_SECONDS = 3.0
"""No statement of a request takes longer."""


class Asked:
    """One request: the principal, and the consoles on a handle whose statements take three seconds at the most."""

    def __init__(self, app: Holdfast, request: Request, who: Principal, rooms: Rooms) -> None:
        self.app = app
        self.request = request
        self.who = who
        self._rooms = rooms

    @property
    def database(self) -> Database:
        """The handle that the consoles are on, for a noun that has none."""
        return self._rooms.database

    @property
    def jobs(self) -> Jobs:
        """Jobs."""
        return self._rooms.jobs

    @property
    def queues(self) -> Queues:
        """Queues."""
        return self._rooms.queues

    @property
    def schedules(self) -> Schedules:
        """Schedules."""
        return self._rooms.schedules

    @property
    def events(self) -> EventLog:
        """The event log."""
        return self._rooms.events

    @property
    def projections(self) -> projecting.Projections:
        """Projections."""
        return self._rooms.projections

    @property
    def batches(self) -> Batches:
        """Batches."""
        return self._rooms.batches

    @property
    def failures(self) -> Failures:
        """Failures in groups."""
        return self._rooms.failures

    @property
    def operations(self) -> Operations:
        """Verbs on everything that a filter finds."""
        return self._rooms.operations

    @property
    def limits(self) -> LimitConsole:
        """Limits and rates."""
        return self._rooms.limits

    @property
    def sees_args(self) -> bool:
        """Whether arguments, results and log lines may be shown."""
        return self.who.may(Permission.JOBS_ARGS)

    @property
    def queues_allowed(self) -> frozenset[str] | None:
        """The only queues that may be shown or touched; ``None``: all of them."""
        return self.who.queues

    async def is_still_in(self) -> bool:
        """Whether the credential of this request would still be let in; for answers that have no end of their own."""
        frame = self.request.app.state.frame
        try:
            now_known: Principal = await frame.principal_of(self.request)
        except AccessError:
            return False
        return now_known == self.who

    def may(self, needs: Needs) -> bool:
        """Whether the principal has this permission, and this server changes things at all."""
        return self.who.may(needs)

    def shown(self, value: Any) -> Any:
        """Arguments, a result or the like as this principal may see it; ``None`` when not at all."""
        return redacted(value) if self.sees_args else None

    def legal(self, verbs: Sequence[tuple[str, Permission]]) -> list[str]:
        """Of these verbs, each with what it needs, those that the principal may use on this server."""
        if self.request.app.state.frame.read_only:
            return []
        return [verb for verb, needs in verbs if self.who.may(needs)]


def _asking(request: Request) -> Asked:
    asked: Asked = request.state.asked
    return asked


Asking = Annotated[Asked, Depends(_asking)]
"""A parameter of a reading route: ``async def list_jobs(asking: Asking) -> …``."""
