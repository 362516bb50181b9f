"""The hub: one task a process that looks at the database while somebody listens, and tells everybody what changed.

It feels the pulse (one cheap statement) every two seconds, and takes a look at the whole for the topic ``stats`` when
the pulse has changed, and otherwise seldom: an idle dashboard costs less than one statement a second, however many
look at it. When nobody has listened for a few seconds it stops.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec

from holdfast.access import Principal, find_ended
from holdfast.api.frame.frame import Frame
from holdfast.api.live.listener import Listener, Message, message, reset
from holdfast.api.live.topics import Watched
from holdfast.clock import monotonic, now
from holdfast.db import DRIVER_ERRORS, Database
from holdfast.errors import HoldfastError, TooManyRequests
from holdfast.observe import Pulse, Sight, feel_pulse, look
from holdfast.telemetry import get_logger

log = get_logger("api")

PULSE_SECONDS: Final = 2.0
BUSY_SECONDS: Final = 1.0
STATS_SECONDS: Final = 6.0
GRACE_SECONDS: Final = 3.0
STUCK_SECONDS: Final = 30.0
"""A turn that takes longer, all its deadlines together, is stuck."""
ABSENT_SECONDS: Final = 300.0
CREDENTIALS_SECONDS: Final = 5.0
"""So long a stream may outlive a credential that another process took back."""
MOST_LISTENERS: Final = 1000
MOST_OF_ONE: Final = 30
MOST_OF_THE_PUBLIC: Final = 500
"""So that whoever is known finds room, however many streams strangers open."""
_APART_SECONDS: Final = 0.2

Render = Callable[[Principal, Sight | None, Exception | None], dict[str, Any]]


class Hub:
    """Everybody who listens to one process, and the task that tells them."""

    def __init__(self, frame: Frame, render: Render) -> None:
        """``render`` makes the data of ``stats`` for a principal, of a sight or of the error instead of one."""
        self._frame = frame
        self._render = render
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._epoch = ""
        self._number = 0
        self._marks: dict[str, tuple[str, Message, str | None]] = {}
        self._sight: Sight | None = None
        self._error: Exception | None = None
        self._looked_at = -STATS_SECONDS
        self._credentials_looked_at = monotonic()
        self._felt = False
        self._turned_at = monotonic()
        self._expiries: dict[Listener, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    @property
    def count(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @property
    def is_stuck(self) -> bool:
        """Whether somebody listens and nobody has looked for a while."""
        return self.count > 0 and monotonic() - self._turned_at > STUCK_SECONDS

    def join(self, who: Principal, watched: Watched, hello: dict[str, Any], last_id: str | None) -> Listener:
        """Begin to listen. With the id of the last message they had, they miss nothing, or are told to begin anew.

        Raises ``TooManyRequests``.
        """
        mine = sum(listener.who.key == who.key for listener in self._listeners)
        # Those who are not known apart from one another are bounded together.
        most = {"local": MOST_LISTENERS, "public": MOST_OF_THE_PUBLIC}.get(who.kind, MOST_OF_ONE)
        if len(self._listeners) >= MOST_LISTENERS or mine >= most:
            raise TooManyRequests(
                "too many streams are open", remedy="close some: one for a browser is enough, its tabs share it"
            )
        if self._task is None or self._task.done():
            self._begin()
        listener = Listener(who, watched, self._epoch)
        self._listeners.add(listener)
        self._end_at(listener, who.expires_at)
        number = self._number_in(last_id)
        told = {"refused": list(watched.refused), "resumed": number is not None, "retry_ms": _retry_ms()}
        # What was missed has lower numbers: hearing hello alone is not to have heard it.
        listener.tell(message("hello", "hello", hello | told, None if number is not None else self._number))
        if number is not None:
            self._resume(listener, number)
        elif last_id is not None:
            listener.tell(reset("this process does not know where you were"))
        if "stats" in watched.topics and (self._sight is not None or self._error is not None):
            listener.tell(self._stats(listener, self._number, {}))
        if not self._felt or any(f"job:{job}" not in self._marks for job in watched.jobs):
            self._wake.set()
        return listener

    def leave(self, listener: Listener) -> None:
        """Listen no more. May be repeated."""
        self._listeners.discard(listener)
        expiry = self._expiries.pop(listener, None)
        if expiry is not None:
            expiry.cancel()

    def dismiss(self, is_out: Callable[[Principal], bool]) -> None:
        """End the streams of everybody whose credential has ended."""
        for listener in [one for one in self._listeners if is_out(one.who)]:
            self._sign_out(listener)

    def _sign_out(self, listener: Listener) -> None:
        listener.end(message("bye", "bye", {"retry_ms": _retry_ms(), "because": "signed out"}))
        self.leave(listener)

    def _end_at(self, listener: Listener, moment: datetime | None) -> None:
        """A credential that ends by itself ends its stream at that moment, whether the database answers or not."""
        if moment is not None:
            left = max((moment - now()).total_seconds(), 0.0)
            self._expiries[listener] = asyncio.get_running_loop().call_later(left, self._sign_out, listener)

    def _begin(self) -> None:
        """Nobody has looked for a while: what was known may be wrong by now."""
        self._epoch, self._number = secrets.token_hex(6), 0
        self._marks.clear()
        self._felt = False
        self._sight, self._error = None, None
        self._looked_at = -STATS_SECONDS
        self._turned_at = monotonic()
        self._task = asyncio.create_task(self._run(), name="holdfast live updates")

    def _number_in(self, last_id: str | None) -> int | None:
        """How far they were, if it was here and since we look; otherwise None."""
        epoch, _, number = (last_id or "").rpartition("-")
        known = epoch == self._epoch and number.isascii() and number.isdigit() and len(number) < 19
        return int(number) if known else None

    def _resume(self, listener: Listener, number: int) -> None:
        for _, told, queue in self._marks.values():
            if told.number is not None and told.number > number and _is_for(listener, told, queue):
                listener.tell(told)
        for job in listener.watched.jobs:
            if f"job:{job}" not in self._marks:
                listener.tell(_patch(f"job:{job}", str(job), "", self._number))

    async def _run(self) -> None:
        ending = self._frame.ending()
        goodbye = asyncio.create_task(ending.wait(), name="holdfast end of live updates")
        alone_since: float | None = None
        try:
            while not ending.is_set():
                alone_since = None if self._listeners else (alone_since or monotonic())
                if alone_since is not None and monotonic() - alone_since >= GRACE_SECONDS:
                    return
                self._wake.clear()
                changed = await self._turn() if self._listeners else False
                self._turned_at = monotonic()
                woken = asyncio.create_task(self._wake.wait())
                await asyncio.wait(
                    {goodbye, woken},
                    timeout=BUSY_SECONDS if changed or not self._listeners else PULSE_SECONDS,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                woken.cancel()
                # However many join at once, looks keep their distance.
                await asyncio.sleep(_APART_SECONDS)
        finally:
            goodbye.cancel()
            if ending.is_set():
                self._say_goodbye()

    def _say_goodbye(self) -> None:
        last = message("bye", "bye", {"retry_ms": _retry_ms()})
        for listener in self._listeners:
            listener.end(last)

    async def _turn(self) -> bool:
        """One look. True: something has changed, so the next one is due soon."""
        changed = False
        self._end_the_absent()
        try:
            database = (await self._frame.reading()).database
            await self._end_the_signed_out(database)
            jobs = {job for listener in self._listeners for job in listener.watched.jobs}
            changed = self._compare(await feel_pulse(database, jobs))
            await self._look(database, changed=changed)
        except (*DRIVER_ERRORS, HoldfastError) as error:
            if self._error is None:
                log.warning("live updates: %s", error)
            self._error, self._sight = error, None
            self._tell_stats()
        except Exception:  # a mistake of ours must not leave everybody listening to nothing
            log.exception("live updates stumbled and go on")
        return changed

    def _end_the_absent(self) -> None:
        """Whoever has taken nothing for minutes is gone, or will begin anew when they are back."""
        for listener in [one for one in self._listeners if one.waiting_seconds > ABSENT_SECONDS]:
            listener.end(reset("too slow"))
            self.leave(listener)

    async def _end_the_signed_out(self, database: Database) -> None:
        """Whoever was signed out in another process; those of this one were dismissed with the act."""
        if monotonic() - self._credentials_looked_at < CREDENTIALS_SECONDS:
            return
        self._credentials_looked_at = monotonic()
        known = {listener.who for listener in self._listeners}
        ended = await find_ended(database, known, idle_seconds=self._frame.settings.session_idle_seconds)
        self.dismiss(ended.__contains__)

    async def _look(self, database: Database, *, changed: bool) -> None:
        """The whole, if somebody wants it and it may have changed, or was not looked at for a while."""
        if not any("stats" in listener.watched.topics for listener in self._listeners):
            return
        age = monotonic() - self._looked_at
        fresh = self._sight is not None and age < (BUSY_SECONDS if changed else STATS_SECONDS)
        if fresh:
            return
        self._sight, self._error = await look(database), None
        self._looked_at = monotonic()
        self._tell_stats()

    def _tell_stats(self) -> None:
        self._number += 1
        rendered: dict[object, bytes] = {}
        for listener in self._listeners:
            if "stats" in listener.watched.topics:
                listener.tell(self._stats(listener, self._number, rendered))

    def _stats(self, listener: Listener, number: int, rendered: dict[object, bytes]) -> Message:
        """The same bytes for all who see the same."""
        who = listener.who
        eyes = (who.queues, who.permissions)
        if eyes not in rendered:
            rendered[eyes] = msgspec.json.encode(self._render(who, self._sight, self._error))
        return Message("stats", "stats", rendered[eyes], number)

    def _compare(self, pulse: Pulse) -> bool:
        """Tell what has another mark than before. What is watched anew begins with the mark it has now."""
        begins, self._felt = not self._felt, True
        seen = self._seen(pulse)
        changed = False
        for key, (mark, subject, queue) in seen.items():
            known = self._marks.get(key)
            if known is not None and known[0] == mark:
                continue
            told_before = known is not None or (key.startswith("operation:") and not begins)
            self._number += int(told_before)
            told = _patch(key, subject, mark, self._number)
            self._marks[key] = (mark, told, queue)
            if told_before:
                changed = True
                for listener in self._listeners:
                    if _is_for(listener, told, queue):
                        listener.tell(told)
        for gone in self._marks.keys() - seen.keys():
            del self._marks[gone]
        return changed

    def _seen(self, pulse: Pulse) -> dict[str, tuple[str, str | None, str | None]]:
        """Mark, id and queue of everything, by the key of its messages."""
        seen: dict[str, tuple[str, str | None, str | None]] = {
            topic: (mark, None, None) for topic, mark in pulse.marks.items()
        }
        seen |= {f"operation:{one}": (mark, one, None) for one, mark in pulse.operations.items()}
        for job in {str(job) for listener in self._listeners for job in listener.watched.jobs}:
            _, _, queue = self._marks.get(f"job:{job}", ("", None, None))
            found = pulse.jobs.get(job)
            seen[f"job:{job}"] = ("gone", job, queue) if found is None else (found[1], job, found[0])
        return seen


def _is_for(listener: Listener, told: Message, queue: str | None) -> bool:
    kind, _, subject = told.key.partition(":")
    if kind == "job":
        return listener.watched.hears("job", int(subject)) and listener.who.may_touch(queue or "")
    return listener.watched.hears("operations" if kind == "operation" else told.key)


def _patch(key: str, id: str | None, mark: str, number: int) -> Message:
    kind = key.partition(":")[0]
    topic = "operations" if kind == "operation" else kind
    return message(key, "patch", {"topic": topic, "id": id, "version": mark}, number)


def _retry_ms() -> int:
    """When to come back: not all at the same moment."""
    return random.randint(1_000, 4_000)
