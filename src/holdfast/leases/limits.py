"""How long is too long: the limits that a worker and those who watch it judge by."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Seconds, each with its meaning. All processes of one database must agree on the first three."""

    silence_seconds: float = 60.0
    """Beats unchanged for so long, although the session stands: dead."""
    silence_pooled_seconds: float = 15.0
    """The same for a worker that has no session of its own."""
    session_grace_seconds: float = 1.0
    """Session gone and not back for so long: dead; the worker itself stops within this time."""
    settle_seconds: float = 15.0
    """After a restart of the server, or a break of the observer's session, nobody is missed for so long."""
    beat_seconds: float = 2.0
    """Between two beats, at most; never more than a quarter of the silence limit."""
    observe_seconds: float = 0.2
    """Between two looks, and between two tries to become the observer."""
    observe_standby_seconds: float = 3.0
    """Between two looks of a process that is not the observer: the observer itself may have been stopped."""
    observe_pooled_seconds: float = 2.0
    """Between two looks of a process that has no session of its own."""
    sweep_seconds: float = 1.0
    """Between two searches for leases that name nobody who lives."""
    answer_seconds: float = 3.0
    """A statement about liveness not answered for so long: the session is given up."""

    def silence_of(self, *, has_session: bool) -> float:
        """The silence after which such a worker is dead."""
        return self.silence_seconds if has_session else self.silence_pooled_seconds

    def beat_every(self, *, has_session: bool) -> float:
        """The pause between two beats of such a worker."""
        return min(self.beat_seconds, self.silence_of(has_session=has_session) / 4)

    def look_every(self, *, has_session: bool) -> float:
        """The pause between two looks of an observer that has, or has not, a session of its own."""
        return self.observe_seconds if has_session else self.observe_pooled_seconds
