"""One verdict about all projections, for load balancers and alerts: the body that deployments ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Final, Literal

from holdfast.events.projections.console import ProjectionInfo

DEFAULT_THRESHOLD: Final = 5_000
"""Well below where counting stops: one partition alone must be able to exceed it."""
_FAILING: Final = ("unserved", "partly served", "stopped")


@dataclass(frozen=True, slots=True)
class Health:
    """``lag``: events that wait, of the projection that is furthest behind."""

    status: Literal["healthy", "unhealthy"]
    db: Literal["up", "down"]
    version: str
    lag: int | None
    threshold: int
    error: str | None

    @property
    def ok(self) -> bool:
        """The verdict."""
        return self.status == "healthy"


def judge(found: Sequence[ProjectionInfo], threshold: int = DEFAULT_THRESHOLD, *, version: str | None = None) -> Health:
    """Unhealthy when nothing is served, when a projection is not, or stopped, or further behind than ``threshold``.

    Retired projections are not asked for; paused ones are somebody's decision. ``version`` is that of the program.
    """
    asked = [each for each in found if each.state not in ("retired", "paused")]
    lag = max((each.lag_events for each in asked), default=0)
    errors = [] if found else ["no projection is known: no worker has ever started"]
    for each in asked:
        if each.state in _FAILING:
            errors.append(f"{each.name} is {each.state}" + (f": {'; '.join(each.problems)}" if each.problems else ""))
        elif each.lag_events > threshold:
            errors.append(f"{each.name} is {each.lag_events} events behind")
    return Health(
        "unhealthy" if errors else "healthy", "up", version or _version(), lag, threshold, "; ".join(errors) or None
    )


def unreachable(error: str, threshold: int = DEFAULT_THRESHOLD) -> Health:
    """What there is to say when the database does not answer."""
    return Health("unhealthy", "down", _version(), None, threshold, error)


def _version() -> str:
    return metadata.version("holdfast")
