"""What a worker may still believe about itself: live, cut off, or lost. The decision alone, without a database."""

from __future__ import annotations

import enum

__all__ = ["Standing", "State"]


class State(enum.Enum):
    """How a worker stands."""

    LIVE = "live"
    """It may start jobs and write."""

    CUT_OFF = "cut off"
    """It cannot reach the database: it starts nothing and cancels what runs, and may come back under its number."""

    LOST = "lost"
    """It was, or must be taken to have been, declared dead: it stops for good under this number."""


class Standing:
    """Judges oneself, on one's own monotonic clock, no later than others will.

    A beat counts from the moment it was *sent*: the observer saw it later than that.
    """

    def __init__(self, *, silence_seconds: float, grace_seconds: float, cut_off_seconds: float | None) -> None:
        """``cut_off_seconds``: without a beat for so long counts as cut off (where no session tells it sooner)."""
        self._silence_seconds = silence_seconds
        self._grace_seconds = grace_seconds
        self._cut_off_seconds = cut_off_seconds
        self._beat_at = 0.0
        self._missed_since: float | None = None
        self.state = State.LIVE
        self.reason = ""

    def begin(self, at: float) -> None:
        """Registered by a statement sent at ``at``: that is the first beat."""
        self._beat_at = at

    def silent_for(self, now: float) -> float:
        """Seconds since the last beat that arrived was sent."""
        return now - self._beat_at

    def may_work(self, now: float) -> bool:
        """Whether a job may be started, or a result written, at this very moment."""
        return self.state is State.LIVE and self.silent_for(now) <= self._silence_seconds

    def session_lost(self, now: float) -> None:
        """The session is gone: others wait for it no longer than the grace."""
        if self._missed_since is None:
            self._missed_since = now

    def session_back(self) -> None:
        """The session stands again and holds the number."""
        self._missed_since = None

    def beaten(self, sent_at: float) -> None:
        """A beat sent at ``sent_at`` was accepted: the worker is live in the eyes of the database."""
        self._beat_at = max(self._beat_at, sent_at)
        if self.state is State.CUT_OFF and self._missed_since is None:
            self._become(State.LIVE, "back")

    def refused(self, reason: str) -> None:
        """The database, or whoever watches, says that this worker is dead."""
        self._become(State.LOST, reason)

    def cut_off(self, reason: str) -> None:
        """Whoever holds the session says that it is gone."""
        if self.state is State.LIVE:
            self._become(State.CUT_OFF, reason)

    def tick(self, now: float) -> None:
        """Judge by the clock. A worker that is cut off runs nothing, so silence can do no more harm to it."""
        if self.state is not State.LIVE:
            return
        silent = self.silent_for(now)
        if silent > self._silence_seconds:
            self._become(State.LOST, f"silent for {silent:.1f} s, longer than {self._silence_seconds:g} s")
        elif self._missed_since is not None and now - self._missed_since >= self._grace_seconds:
            self._become(State.CUT_OFF, f"no session for {self._grace_seconds:g} s")
        elif self._cut_off_seconds is not None and silent > self._cut_off_seconds:
            self._become(State.CUT_OFF, f"no beat got through for {silent:.1f} s")

    def _become(self, state: State, reason: str) -> None:
        if self.state is not State.LOST:
            self.state, self.reason = state, reason
