"""Lanes, limits and rates as an application declares them, and the gates that a job stands before because of them.

A gate is a name: ``lane:user-42``, ``limit:api:``, ``limit:tenant:7``, ``rate:mail:``. The database makes the same
names from the same declarations, so that a job enqueued by SQL stands before the same gates.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct, field

from holdfast.errors import ArgumentsInvalid, ConfigurationError
from holdfast.jobs.durations import seconds_of

By = str | tuple[str, ...] | Callable[..., object]
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_LONGEST_KEY: Final = 200


class Limit(Struct, frozen=True):
    """At most ``capacity`` jobs at once, over all workers; with ``by``: for each key.

    ``by`` names the argument (or arguments) whose value is the key, or is a function of the task's arguments; jobs that
    SQL enqueues need the former. ``fair_by``: among jobs that wait, the keys of these arguments take turns, in
    proportion to ``weights`` (1 unless given); without it the more urgent priority goes first, then the older job.
    Tasks that name the same limit share it.
    """

    name: str
    capacity: int
    by: By | None = None
    fair_by: By | None = None
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """The name under which the database knows it."""
        return f"limit:{self.name}"

    @property
    def per_us(self) -> int | None:
        """The window of a rate in microseconds; None for a limit."""
        return None


class Rate(Struct, frozen=True):
    """At most ``count`` starts within any stretch of time ``per`` (seconds, timedelta, ``"1m"``); ``by`` as in Limit.

    An attempt is a start: a retry takes a place again. Without ``name`` it is the task's own; tasks that name the same
    rate share it. Tokens are taken in blocks of a hundredth of ``per``, so a place may come back that much later.
    """

    count: int
    per: float | str | timedelta
    by: By | None = None
    name: str = ""
    fair_by: By | None = None
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def rule(self) -> str:
        """The name under which the database knows it."""
        return f"rate:{self.name}"

    @property
    def capacity(self) -> int:
        """How many starts a window holds."""
        return self.count

    @property
    def per_us(self) -> int | None:
        """The window in microseconds."""
        return round(seconds_of(self.per) * 1_000_000)


Gate = Limit | Rate


class _Task(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def gates(self) -> Sequence[Gate]: ...


def declared_gates(task: str, limits: Iterable[Limit], rate: Rate | Iterable[Rate] | None) -> tuple[Gate, ...]:
    """The gates of a task, by name. Raises ``ConfigurationError`` for what cannot be one."""
    gates: list[Gate]
    rates = () if rate is None else (rate,) if isinstance(rate, Rate) else tuple(rate)
    named = [
        each if each.name else Rate(each.count, each.per, each.by, task, each.fair_by, each.weights) for each in rates
    ]
    gates = sorted([*limits, *named], key=lambda gate: gate.rule)
    for gate in gates:
        _check(task, gate)
    twice = {gate.rule for gate in gates if [other.rule for other in gates].count(gate.rule) > 1}
    if twice:
        raise ConfigurationError(f"task {task!r} declares {', '.join(sorted(twice))} twice")
    return tuple(gates)


def _check(task: str, gate: Gate) -> None:
    if not _NAME.fullmatch(gate.name):
        raise ConfigurationError(
            f"task {task!r}: {gate.name!r} cannot be the name of a limit",
            remedy="use letters, digits, '.', '-' and '_', at most 60",
        )
    if gate.capacity < 0:
        raise ConfigurationError(f"task {task!r}: limit {gate.name!r} allows {gate.capacity}, less than none")
    if gate.per_us is not None and gate.per_us < 1000:
        raise ConfigurationError(f"task {task!r}: the window of rate {gate.name!r} is shorter than a millisecond")
    if any(weight <= 0 for weight in gate.weights.values()):
        raise ConfigurationError(f"task {task!r}: the weights of {gate.name!r} must be above 0")


def agree(known: Iterable[_Task], task: _Task) -> None:
    """A limit has one capacity. Raises ``ConfigurationError`` when another task declares the same one differently."""
    rules = {gate.rule: (other.name, gate) for other in known for gate in other.gates}
    for gate in task.gates:
        other, theirs = rules.get(gate.rule, (task.name, gate))
        if (theirs.capacity, theirs.per_us, dict(theirs.weights)) != (gate.capacity, gate.per_us, dict(gate.weights)):
            raise ConfigurationError(
                f"tasks {other!r} and {task.name!r} declare {gate.rule} differently",
                remedy="declare it once and give the same object to both, or use another name",
            )


class GateNames:
    """The names of the gates that a job of one task stands before."""

    def __init__(self, task: str, gates: Sequence[Gate], handler: Callable[..., Any], names: Sequence[str]) -> None:
        self._task = task
        self._gates = gates
        parameters = inspect.signature(handler).parameters
        defaults = {name: parameters[name].default for name in names if name in parameters}
        self._defaults = {name: _plain_text(value) for name, value in defaults.items()}
        for gate in gates:
            for name in (*_names_of(gate.by), *_names_of(gate.fair_by)):
                if name not in names:
                    raise ConfigurationError(
                        f"task {task!r} has no argument {name!r}, by which {gate.rule} would be told apart",
                        remedy=f"its arguments are {', '.join(names) or 'none'}",
                    )

    def declaration(self) -> str | None:
        """What the database must know to make the same names, as JSON; None for no gates."""
        if not self._gates:
            return None
        return msgspec.json.encode([self._declared(gate) for gate in self._gates]).decode()

    def of(self, lane: str | None, arguments: Mapping[str, Any], text: str) -> str | None:
        """The gates of a call, one a line; None for none. ``text`` are its arguments as they are stored."""
        names = [] if lane is None else [f"lane:{_key(lane)}"]
        if self._gates:
            stored = msgspec.json.decode(text)
            names += [self._name(gate, arguments, stored) for gate in self._gates]
        return "\n".join(names) or None

    def _name(self, gate: Gate, arguments: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
        share = "" if gate.fair_by is None else "\t" + self._key_by(gate, gate.fair_by, arguments, stored)
        return f"{gate.rule}:{self._key_by(gate, gate.by, arguments, stored)}{share}"

    def _key_by(self, gate: Gate, by: By | None, arguments: Mapping[str, Any], stored: Mapping[str, Any]) -> str:
        if by is None:
            return ""
        if callable(by):
            return _key(str(by(**arguments)))
        parts: list[str] = []
        for name in _names_of(by):
            value = stored.get(name)
            part = self._defaults[name] or "" if value is None else _plain_text(value)
            if part is None:
                raise ArgumentsInvalid(
                    f"argument {name!r} of {self._task!r} is the key of {gate.rule}:"
                    " it must be text, a whole number or a yes or no",
                    remedy="limit by another argument, or by a function of the arguments",
                )
            parts.append(part)
        return _key(",".join(parts))

    def _declared(self, gate: Gate) -> dict[str, Any]:
        if callable(gate.by) or callable(gate.fair_by):
            return {"rule": gate.rule, "code": True}
        declared: dict[str, Any] = {
            "rule": gate.rule,
            "by": [[name, self._defaults[name]] for name in _names_of(gate.by)],
        }
        if gate.fair_by is not None:
            declared["fair"] = [[name, self._defaults[name]] for name in _names_of(gate.fair_by)]
        return declared


def _names_of(by: By | None) -> tuple[str, ...]:
    if by is None or callable(by):
        return ()
    return (by,) if isinstance(by, str) else tuple(by)


def _plain_text(value: Any) -> str | None:
    """A value as PostgreSQL shows it when it takes it out of JSON; None where the two could differ."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def _key(text: str) -> str:
    if len(text) > _LONGEST_KEY:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return text.replace("\n", " ").replace("\t", " ")
