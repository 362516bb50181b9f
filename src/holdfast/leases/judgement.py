"""Who is dead: the decision alone, without a database, a clock or a timestamp.

An observer may say "dead" only about what it has watched itself, without a break, on its own monotonic clock. After an
outage of the server, the sleep of a machine, a step of anybody's wall clock or a pause of the observer nobody was
watched, so nobody is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from holdfast.leases.identity import still_exists
from holdfast.leases.limits import Limits

Exists = Callable[[str, str], bool | None]


class Seen(Struct, frozen=True):
    """One worker in one look."""

    worker: int
    beat: int
    has_session: bool
    session_held: bool
    host: str
    incarnation: str


class Verdict(Struct, frozen=True):
    """A worker found dead, and why. Repeated at every look for as long as it is seen so."""

    worker: int
    reason: str


class _Watched(Struct):
    """Since when (in observed seconds) this beat is seen, and the session is missed."""

    beat: int
    beat_since: float
    missed_since: float | None = None


class Judgement:
    """Watches looks one after another and says who is dead. One object per observer."""

    def __init__(
        self, limits: Limits, *, look_seconds: float, sees_sessions: bool, exists: Exists = still_exists
    ) -> None:
        """``look_seconds``: the usual pause between looks. ``sees_sessions``: the observer has a direct session."""
        self._limits = limits
        self._sees_sessions = sees_sessions
        self._exists = exists
        # A late look counts for no more than two usual ones; a very late one is a break.
        self._counts_at_most = 2 * look_seconds
        self._break_seconds = (10 if sees_sessions else 3) * look_seconds
        self._watched: dict[int, _Watched] = {}
        self._observed = 0.0
        self._last_at: float | None = None
        self._last_server_age = 0.0
        self._after_break = False

    def interrupted(self) -> None:
        """The observation broke (connection lost, statement failed): everything is watched anew.

        Others may have lost theirs with us, so nobody's session is missed before things have settled.
        """
        self._watch_anew()
        self._after_break = True

    def look(self, at: float, server_age_seconds: float, seen: Iterable[Seen]) -> list[Verdict]:
        """Take in one look, made at ``at`` of the observer's monotonic clock, and judge."""
        self._advance(at, server_age_seconds)
        settled = self._settled(server_age_seconds)
        everybody = list(seen)
        here = {one.worker for one in everybody}
        for worker in [worker for worker in self._watched if worker not in here]:
            del self._watched[worker]
        verdicts = []
        for one in everybody:
            reason = self._judge(one, self._remember(one), settled=settled)
            if reason is not None:
                verdicts.append(Verdict(one.worker, reason))
        return verdicts

    def _advance(self, at: float, server_age: float) -> None:
        if self._last_at is not None:
            passed = at - self._last_at
            # A server younger than a moment ago was restarted (or its clock was set back: watched anew does no harm).
            if server_age < self._last_server_age:
                self.interrupted()
            elif passed > self._break_seconds:
                self._watch_anew()
            else:
                self._observed += min(passed, self._counts_at_most)
        self._last_at, self._last_server_age = at, server_age

    def _watch_anew(self) -> None:
        self._watched.clear()
        self._observed = 0.0
        self._last_at = None

    def _settled(self, server_age: float) -> bool:
        """Whether everybody who lives has had time to come back after whatever happened."""
        enough = self._limits.settle_seconds
        return self._observed >= enough or (not self._after_break and server_age >= enough)

    def _remember(self, one: Seen) -> _Watched:
        watched = self._watched.get(one.worker)
        if watched is None:
            watched = self._watched[one.worker] = _Watched(one.beat, self._observed)
        elif watched.beat != one.beat:
            watched.beat, watched.beat_since = one.beat, self._observed
        if one.session_held:
            watched.missed_since = None
        elif watched.missed_since is None:
            watched.missed_since = self._observed
        return watched

    def _judge(self, one: Seen, watched: _Watched, *, settled: bool) -> str | None:
        if not one.session_held and self._exists(one.host, one.incarnation) is False:
            return "its process has ended"
        missed_since = watched.missed_since
        if (
            self._sees_sessions
            and one.has_session
            and settled
            and missed_since is not None
            and self._observed - missed_since >= self._limits.session_grace_seconds
        ):
            return f"its session is gone and did not come back within {self._limits.session_grace_seconds:g} s"
        silence = self._limits.silence_of(has_session=one.has_session)
        if self._observed - watched.beat_since >= silence:
            return f"it was silent for {silence:g} s"
        return None
