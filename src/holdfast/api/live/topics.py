"""What may be watched, and who may watch it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from holdfast.access import Permission, Principal
from holdfast.errors import Forbidden, ValueRefused

_P = Permission
TOPICS: Final = MappingProxyType(
    {
        "stats": _P.STATS_READ,
        "jobs": _P.JOBS_READ,
        "queues": _P.QUEUES_READ,
        "workers": _P.WORKERS_READ,
        "schedules": _P.SCHEDULES_READ,
        "failures": _P.JOBS_READ,
        "operations": _P.OPERATIONS_READ,
        "events": _P.EVENTS_READ,
        "projections": _P.PROJECTIONS_READ,
    }
)
"""Every topic but ``job:ID``, with what it needs."""
MOST_TOPICS: Final = 50
_JOB: Final = re.compile(r"job:(0|[1-9][0-9]{0,18})\Z")


@dataclass(frozen=True, slots=True)
class Watched:
    """What one listener is told about, and what they may not hear."""

    topics: frozenset[str]
    jobs: frozenset[int]
    refused: tuple[str, ...]

    def hears(self, topic: str, job: int | None = None) -> bool:
        """Whether a message of this topic is for them."""
        return job in self.jobs if job is not None else topic in self.topics


def watched_by(who: Principal, asked: Iterable[str]) -> Watched:
    """Of the topics asked for, those that they may hear. Raises ``ValueRefused``, ``Forbidden`` if none is left."""
    names = sorted({name.strip() for name in asked if name.strip()})
    if not names or len(names) > MOST_TOPICS:
        raise ValueRefused(f"ask for 1 to {MOST_TOPICS} topics", remedy=f"topics are {', '.join(TOPICS)} and job:ID")
    topics, jobs, refused = set(), set(), []
    for name in names:
        job = _JOB.match(name)
        if job is None and name not in TOPICS:
            raise ValueRefused(f"there is no topic {name[:100]!r}", remedy=f"topics are {', '.join(TOPICS)} and job:ID")
        if not who.may(_P.JOBS_READ if job else TOPICS[name]):
            refused.append(name)
        elif job:
            jobs.add(min(int(job[1]), 2**63 - 1))
        else:
            topics.add(name)
    if not topics and not jobs:
        raise Forbidden(f"{who.name} may hear none of these topics", remedy="ask an admin for a token that permits it")
    return Watched(frozenset(topics), frozenset(jobs), tuple(refused))
