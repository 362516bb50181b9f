"""What becomes of a failed attempt: a task's retry policy, and what a handler may raise or return to decide itself."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from msgspec import Struct, field
from msgspec.structs import force_setattr

from holdfast.errors import ConfigurationError
from holdfast.jobs.durations import seconds_of

_LONGEST_SECONDS: Final = 1e9
"""A bound for policies without a ceiling: thirty years, which every clock can hold."""


class GiveUp(Exception):
    """Raised by a handler: this job has failed for good, further attempts cannot help."""


class RetryAfter(Exception):
    """Raised by a handler: the attempt failed, try again after so many seconds (a server's ``Retry-After``)."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        self.seconds = seconds_of(max(0.0, seconds))  # a moment that is over means: at once
        super().__init__(reason or f"asked to retry after {self.seconds:g} s")


class Snooze(Struct, frozen=True):
    """Returned by a handler: nothing failed, run the job again after ``seconds``; no attempt is used up."""

    seconds: float

    def __post_init__(self) -> None:
        # Refused here, in the handler that said it.
        force_setattr(self, "seconds", seconds_of(self.seconds))


class Retry(Struct, frozen=True):
    """How often and how soon a failed attempt is repeated.

    The n-th delay is ``delay_seconds * factor ** (n - 1)``, at most ``ceiling_seconds``, then spread by ``jitter``
    (0.2: up to a fifth more or less), so that jobs that failed together do not come back together.
    ``on`` gives exception classes a policy of their own, ``give_up_on`` names those that repetition cannot cure.
    """

    max_attempts: int = 5
    delay_seconds: float = 2.0
    factor: float = 2.0
    ceiling_seconds: float = 3600.0
    jitter: float = 0.2
    on: Mapping[type[Exception], Retry] = field(default_factory=dict)
    give_up_on: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 32_767:
            raise ConfigurationError(f"max_attempts must be between 1 and 32767, not {self.max_attempts}")
        if self.delay_seconds < 0 or self.ceiling_seconds < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ConfigurationError(
                "a retry policy needs delay_seconds >= 0, ceiling_seconds >= 0, factor >= 1 and jitter between 0 and 1"
            )

    def policy_for(self, error: BaseException) -> Retry:
        """The policy for this error: the one given for its nearest class in ``on``, otherwise this one."""
        for kind in type(error).__mro__:
            if kind in self.on:
                return self.on[kind]
        return self

    def next_delay(self, error: BaseException, attempt: int, max_attempts: int | None = None) -> timedelta | None:
        """How long to wait after the failed ``attempt`` (1 is the first); ``None``: it was the last one.

        ``max_attempts`` overrides the policy's own for this job.
        """
        policy = self.policy_for(error)
        if isinstance(error, (GiveUp, *self.give_up_on, *policy.give_up_on)):
            return None
        if attempt >= (policy.max_attempts if max_attempts is None else max_attempts):
            return None
        if isinstance(error, RetryAfter):
            return timedelta(seconds=error.seconds)
        try:
            delay = min(policy.ceiling_seconds, policy.delay_seconds * policy.factor ** (attempt - 1))
        except OverflowError:
            delay = policy.ceiling_seconds
        delay = min(delay, _LONGEST_SECONDS)
        return timedelta(seconds=delay * random.uniform(1 - policy.jitter, 1 + policy.jitter))
