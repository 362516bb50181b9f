"""A second model beside the live one: built from the beginning of the log, switched to in one transaction, kept."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from holdfast.clock import monotonic
from holdfast.db import DRIVER_ERRORS, Database, Fault, classify, load_statements
from holdfast.errors import ProjectionUnknown, RebuildRefused, TimedOut
from holdfast.events.projections.tables import refusing_tables
from holdfast.telemetry import emit

_SQL = load_statements("holdfast.events.projections", "console.sql")
_LOCK_MILLISECONDS: Final = "1000"
_LOOK_EVERY_SECONDS: Final = 0.05


class Models:
    """The models of projections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rebuild(self, name: str, *, version: int | None = None, setup: Callable[[Any], Any] | None = None) -> int:
        """Begin a new model beside the live one; returns its number. Workers with code of ``version`` fill it.

        Its tables are made like the live ones, then ``setup(tx)`` may change them; both find names in the model's own
        schema. Raises ``RebuildRefused``: one is being built already, no tables are declared, or they are not
        there.
        """
        declared = await self._database.fetchrow(_SQL["declared"], name)
        if declared is None:
            raise ProjectionUnknown(f"there is no projection {name!r}")
        if not declared["tables"]:
            raise RebuildRefused(
                f"projection {name!r} declares no tables, so a second model has no place to stand in",
                remedy="declare the tables it writes: @app.projection(…, tables=('open_orders',))",
            )
        try:
            async with self._database.connection("user") as tx, tx.transaction():
                with refusing_tables(name, RebuildRefused):
                    row = await tx.fetchrow(_SQL["start_rebuild"].sql, name, version or declared["code_version"])
                if setup is not None:
                    await tx.execute(_SQL["find_in"].sql, row["schema_name"])
                    made = setup(tx)
                    if inspect.isawaitable(made):
                        await made
        except DRIVER_ERRORS as error:
            if getattr(error, "sqlstate", None) == "HF121":
                raise RebuildRefused(
                    str(error), remedy=f"switch to it, or give it up: `holdfast projection rebuild {name} --abandon`"
                ) from error
            raise
        return int(row["model"])

    async def switch(self, name: str, *, timeout_seconds: float = 30.0) -> int:
        """Make the model that is being built the live one, under the same table names; the former is kept.

        The live model stands still for as long as the other needs to reach it, at most ``timeout_seconds``. Raises
        ``RebuildRefused`` when nothing is being built, ``TimedOut`` when it does not come; then nothing has changed.
        """
        return await self._make_live(name, "building", timeout_seconds)

    async def roll_back(self, name: str, *, timeout_seconds: float = 30.0) -> int:
        """Make the kept model live again; the one that was live is kept. As ``switch``."""
        return await self._make_live(name, "kept", timeout_seconds)

    async def drop(self, name: str, state: str = "building") -> int:
        """Give up the model that is being built, or the one that is kept, with its tables. Returns its number."""
        model = await self._in_state(name, state)
        await self._database.fetchval(_SQL["drop_model"], name, model)
        return model

    async def _make_live(self, name: str, state: str, timeout_seconds: float) -> int:
        model = await self._in_state(name, state)
        give_up_at = monotonic() + timeout_seconds
        await self._nearly_there(name, model, give_up_at)
        while True:
            left = max(give_up_at - monotonic(), 0.5)
            await self._database.fetchval(_SQL["hold_still"], name, timedelta(seconds=left + 1))
            try:
                await self._reached(name, model, give_up_at)
                if await self._switch(name, model):
                    break
            finally:
                await self._database.fetchval(_SQL["hold_still"], name, None)
            if monotonic() > give_up_at:
                raise TimedOut(
                    f"the tables of {name!r} were in use all the time; nothing was switched",
                    remedy="look for long transactions that read them, and try again",
                )
        emit("events.projection.switched", projection=name, model=model)
        return model

    async def _switch(self, name: str, model: int) -> bool:
        try:
            async with self._database.connection("user") as tx, tx.transaction():
                await tx.execute(_SQL["lock_briefly"].sql, _LOCK_MILLISECONDS)
                return not await tx.fetchval(_SQL["switch"].sql, name, model)
        except DRIVER_ERRORS as error:
            if classify(error) is not Fault.CONTENDED:
                raise
            return False

    async def _nearly_there(self, name: str, model: int, give_up_at: float) -> None:
        """While it has the whole log before it the live model goes on: waiting for it costs nobody anything."""
        while await self._behind_events(name, model) > 1000:
            self._look_at_time(name, model, give_up_at)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _reached(self, name: str, model: int, give_up_at: float) -> None:
        while await self._database.fetchval(_SQL["behind"], name, model):
            self._look_at_time(name, model, give_up_at)
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def _behind_events(self, name: str, model: int) -> int:
        rows = await self._database.fetch(_SQL["lag"], name, 1001)
        theirs = sum(row["events"] for row in rows if row["model"] == model)
        return int(theirs - sum(row["events"] for row in rows if row["state"] == "live"))

    def _look_at_time(self, name: str, model: int, give_up_at: float) -> None:
        if monotonic() > give_up_at:
            raise TimedOut(
                f"model {model} of {name!r} is not as far as the live one; nothing was switched",
                remedy=f"`holdfast projection lag {name}` says how far it is, and whether a worker with its code runs",
            )

    async def _in_state(self, name: str, state: str) -> int:
        models = await self._database.fetch(_SQL["models"], name)
        if not models:
            raise ProjectionUnknown(f"there is no projection {name!r}")
        for row in models:
            if row["state"] == state:
                return int(row["model"])
        what = {"building": "no model is being built", "kept": "no former model is kept"}[state]
        raise RebuildRefused(f"projection {name!r}: {what}", remedy=f"`holdfast projection rebuild {name}` begins one")
