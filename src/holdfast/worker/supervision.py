"""What a supervisor is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from holdfast.leases import Limits, Rescue
from holdfast.worker.companion import Companion


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """What a supervisor is told. ``child`` is the command; ``--lifeline-fd=N`` is appended to it.

    ``processes``: how many of them it keeps.
    """

    url: str = field(repr=False)
    child: Sequence[str]
    processes: int = 1
    direct_url: str | None = field(default=None, repr=False)
    pooled: bool | None = None
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    max_losses: int = 3
    rescue: Rescue | None = None
    restart: bool = True
    """False: a worker that exits by itself is done (drain); one that a signal killed is started again all the same."""
    max_runtime_seconds: float | None = None
    """After so long the workers are stopped in order, as by a signal."""
    stopped_status: int = 0
    """As what a worker process counts that a stop found still starting, or crashed and not started again."""
    shutdown_hard_seconds: float = 25.0
    companions: Sequence[Companion] = ()
    """Processes beside the workers; they are ended after them."""
    hung_limit_seconds: float = 600.0
    healthy_seconds: float = 60.0
