"""What happened, and what is wrong with it: checkers as pure functions over recorded histories."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class History:
    """One run, after everything has come to rest."""

    acknowledged: dict[int, int] = field(default_factory=dict)
    """Request number to job id: the caller was told that the job is stored."""
    unknown: set[int] = field(default_factory=set)
    """Requests whose caller was told nothing for certain: they may have happened."""
    jobs: list[tuple[int, int]] = field(default_factory=list)
    """Every stored job: its id and the number of the request."""
    ended: dict[int, str] = field(default_factory=dict)
    """Job id to how it ended."""
    transactional: set[int] = field(default_factory=set)
    """Jobs that write into the ledger in their own transaction."""
    ledger: list[int] = field(default_factory=list)
    """Job ids, one for every effect that was committed."""
    executions: list[int] = field(default_factory=list)
    """Job ids, one for every time that a handler began, written where no rollback reaches."""


def lost(history: History) -> list[str]:
    """Acknowledged requests that did not come to an end."""
    stored = {job for job, _ in history.jobs}
    return [
        f"request {n} was acknowledged as job {job}, which {'has not ended' if job in stored else 'does not exist'}"
        for n, job in history.acknowledged.items()
        if job not in history.ended or job not in stored
    ]


def doubled(history: History) -> list[str]:
    """Requests that became more than one job, and jobs that nobody asked for."""
    times = Counter(n for _, n in history.jobs)
    asked = history.acknowledged.keys() | history.unknown
    return [f"request {n} became {count} jobs" for n, count in times.items() if count > 1] + [
        f"job of request {n}, which nobody made" for n in times if n not in asked
    ]


def effects_not_once(history: History) -> list[str]:
    """Transactional jobs whose effect was not committed exactly once if they completed, and never otherwise."""
    times = Counter(history.ledger)
    expected = {job: int(history.ended.get(job) == "completed") for job in history.transactional}
    return [
        f"job {job} ({history.ended.get(job, 'unfinished')}) has {times[job]} effects, not {expected.get(job, 0)}"
        for job in sorted(expected.keys() | times.keys())
        if times[job] != expected.get(job, 0)
    ]


def completed_without_running(history: History) -> list[str]:
    """Completed jobs that no handler ever began."""
    ran = set(history.executions)
    return [
        f"job {job} completed and never ran"
        for job, how in history.ended.items()
        if how == "completed" and job not in ran
    ]


def troubles(history: History) -> list[str]:
    """Everything that any checker finds."""
    return [*lost(history), *doubled(history), *effects_not_once(history), *completed_without_running(history)]
