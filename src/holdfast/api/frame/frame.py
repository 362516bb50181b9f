"""What one API knows for as long as it runs: its application, how it is guarded, who it lets in."""

from __future__ import annotations

import asyncio
import weakref

from fastapi import Request

from holdfast.access import Principal
from holdfast.api.frame.asking import STATEMENT_SECONDS
from holdfast.api.frame.signing_in import SigningIn
from holdfast.api.frame.throttling import Throttle
from holdfast.app import Holdfast, Rooms
from holdfast.db import PatientFor
from holdfast.settings import Settings


class Frame:
    """The state of one API."""

    def __init__(self, app: Holdfast, *, guarded: bool) -> None:
        """``guarded``: whether somebody must be known; otherwise everybody on this machine is an admin."""
        self.app = app
        self.settings: Settings = app.settings
        self.draining = False
        self.throttle = Throttle(self.settings)
        self.signing_in = SigningIn(self.settings, self.throttle, guarded=guarded)
        self._ending: weakref.WeakSet[asyncio.Event] = weakref.WeakSet()
        self._reading: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[PatientFor, Rooms]] = (
            weakref.WeakKeyDictionary()
        )

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
    def guarded(self) -> bool:
        """Whether callers must be known."""
        return self.signing_in.guarded

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
        patient, rooms = self._reading.get(loop, (None, None))
        if patient is None or rooms is None or patient.whole is not self.app.database:
            patient = PatientFor(self.app.database, STATEMENT_SECONDS)
            rooms = self.app.rooms_over(patient)
            self._reading[loop] = patient, rooms
        return rooms

    async def principal_of(self, request: Request) -> Principal:
        """Who asks; once a request. Raises ``Unauthenticated``, ``TooManyRequests``."""
        database = (await self.reading()).database
        return await self.signing_in.principal_of(request, database)

    async def demand_rate(self, request: Request, who: Principal) -> None:
        """Count the request for whoever sent it. Raises ``TooManyRequests``."""
        if who.kind == "local":
            return
        address = request.client.host if request.client else "unknown"
        await self.throttle.ask(f"address:{address}" if who.kind in ("public", "nobody") else who.key)
