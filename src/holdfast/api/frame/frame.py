"""What one API knows for as long as it runs: its application, how it is guarded, who it lets in."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request

from holdfast.access import LOCAL, NOBODY, Principal
from holdfast.api.frame.asking import STATEMENT_SECONDS
from holdfast.app import Holdfast, Rooms
from holdfast.db import PatientFor
from holdfast.errors import Unauthenticated
from holdfast.settings import Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """A page of the project's own beside those of the dashboard."""

    path: str
    title: str
    module: str


class Frame:
    """The state of one API."""

    def __init__(self, app: Holdfast, *, guarded: bool, pages: Sequence[ProjectPage] = ()) -> None:
        """``guarded``: whether somebody must be known; otherwise everybody on this machine is an admin."""
        self.app = app
        self.guarded = guarded
        self.pages = tuple(pages)
        self.draining = False
        self._ending: weakref.WeakSet[asyncio.Event] = weakref.WeakSet()
        self._reading: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Rooms] = weakref.WeakKeyDictionary()

    def drain(self) -> None:
        """Say that this process ends: probes tell it, and endless answers end first."""
        self.draining = True
        for event in list(self._ending):
            event.set()

    def ending(self) -> asyncio.Event:
        """Set when this process begins to end; for answers that have no end of their own."""
        event = asyncio.Event()
        if self.draining:
            event.set()
        self._ending.add(event)
        return event

    @property
    def settings(self) -> Settings:
        """The settings of the application."""
        return self.app.settings

    @property
    def read_only(self) -> bool:
        """Whether this server refuses every act."""
        return self.settings.read_only

    @property
    def origins(self) -> frozenset[str]:
        """Other sites whose pages may use this API."""
        return frozenset(self.settings.api_origins)

    async def reading(self) -> Rooms:
        """The consoles for questions, on the running event loop; opens the application if it is not open yet."""
        loop = asyncio.get_running_loop()
        await self.app.open(STATEMENT_SECONDS)
        rooms = self._reading.get(loop)
        if rooms is None or getattr(rooms.database, "_whole", None) is not self.app.database:
            rooms = self._reading[loop] = self.app.rooms_over(PatientFor(self.app.database, STATEMENT_SECONDS))
        return rooms

    async def principal_of(self, request: Request) -> Principal:
        """Who asks. Raises ``Unauthenticated`` for a credential that is wrong, and for a stranger where none is needed.

        Without authentication only this machine is served, by a name of this machine: a page of another site whose
        name was made to point here (DNS rebinding) still sends its own name.
        """
        if self.guarded:
            return NOBODY
        host = (request.url.hostname or "").strip("[]")
        if request.client is None or request.client.host not in _LOOPBACK or host not in _LOOPBACK:
            raise Unauthenticated(
                "authentication is off, so only this machine is served, as localhost",
                remedy="open http://localhost, or set HOLDFAST_AUTH=on",
            )
        return LOCAL
