"""Who is alive: identity, beats, the observer, and the decision who is dead."""

from __future__ import annotations

from holdfast.leases.identity import ProcessLook, WorkerFacts, incarnation_of, look_at, still_exists
from holdfast.leases.judgement import Judgement, Seen, Verdict
from holdfast.leases.limits import Limits
from holdfast.leases.liveness import Liveness
from holdfast.leases.observer import Observer, Rescue
from holdfast.leases.session import LivenessSession
from holdfast.leases.standing import Standing, State
from holdfast.leases.station import Station

__all__ = [
    "Judgement",
    "Limits",
    "Liveness",
    "LivenessSession",
    "Observer",
    "ProcessLook",
    "Rescue",
    "Seen",
    "Standing",
    "State",
    "Station",
    "Verdict",
    "WorkerFacts",
    "incarnation_of",
    "look_at",
    "still_exists",
]
