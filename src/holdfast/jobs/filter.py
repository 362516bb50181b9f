"""The filter language: ``queue=mail state=failed error~timeout age>1h``, the same wherever jobs are chosen.

A filter is a list of terms, and a job must fulfil all of them. A term is a field, an operator and a value:

========= ================================ =========================================================================
field     operators                        value
========= ================================ =========================================================================
state     ``=  !=``                        where the job stands: scheduled, blocked, ready, running, completed, …
queue     ``=  !=  ~  !~``                 text
task      ``=  !=  ~  !~``                 text
key       ``=  !=  ~  !~``                 its unique key, with the name of the task before it
error     ``=  !=  ~  !~``                 ``=``: the type of the last error; ``~``: text in its type or message
args.NAME ``=  !=  ~  !~``                 an argument by name (``args.user.id`` looks inside)
id        ``=  !=``                        id of a job
priority  ``=  !=  <  <=  >  >=``          0 to 9
attempt   ``=  !=  <  <=  >  >=``          number of attempts
age       ``<  >``                         time since it was enqueued: ``90s``, ``10m``, ``2h``, ``3d``
ended     ``<  >``                         time since it ended
due       ``<  >``                         time until a scheduled job is due
========= ================================ =========================================================================

``=`` takes several values, one of which must fit: ``queue=mail,exports``. ``~`` means contains, whatever the case.
A value with blanks or commas stands in double quotes: ``error~"timed out"``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Self

from holdfast.errors import ConfigurationError, FilterInvalid
from holdfast.jobs.durations import seconds_of
from holdfast.jobs.states import Place

_TEXT: Final = ("=", "!=", "~", "!~")
_CHOICE: Final = ("=", "!=")
_NUMBER: Final = ("=", "!=", "<", "<=", ">", ">=")
_AGE: Final = ("<", ">")
FIELDS: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "state": _CHOICE,
        "queue": _TEXT,
        "task": _TEXT,
        "key": _TEXT,
        "error": _TEXT,
        "args": _TEXT,
        "id": _CHOICE,
        "priority": _NUMBER,
        "attempt": _NUMBER,
        "age": _AGE,
        "ended": _AGE,
        "due": _AGE,
    }
)
"""Every field with the operators it has."""

_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_TERM: Final = re.compile(rf"\s*([A-Za-z_][\w.-]*)\s*(!=|!~|<=|>=|=|~|<|>)\s*((?:{_QUOTED}|[^\s\"])+)(?=\s|$)")
_VALUE: Final = re.compile(rf"({_QUOTED})|([^,\"]+)")
_HELP: Final = 'write terms such as: queue=mail state=failed error~"timed out" age>1h'


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison. ``texts`` for ``=`` and ``~``, ``number`` for the others; ages in seconds."""

    field: str
    op: str
    negated: bool = False
    path: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    number: float | None = None

    def plain(self) -> dict[str, Any]:
        """As the database takes it."""
        return {
            "field": self.field,
            "op": self.op,
            "negated": self.negated,
            "path": list(self.path),
            "texts": list(self.texts),
            "number": self.number,
        }


@dataclass(frozen=True, slots=True)
class JobFilter:
    """A filter that was understood: the places to look in, bounds of the age in seconds, and the other terms."""

    text: str = ""
    places: frozenset[Place] = frozenset(Place)
    older_than_seconds: float | None = None
    younger_than_seconds: float | None = None
    terms: tuple[Term, ...] = field(default_factory=tuple)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Understand a filter. Raises ``FilterInvalid`` that names the term and what to write instead."""
        places = frozenset(Place)
        older, younger = 0.0, float("inf")
        terms: list[Term] = []
        for name, op, value in _split(text):
            base, operators = _known(name)
            if op not in operators:
                raise FilterInvalid(
                    f"{name}{op}{value}: {base} cannot be compared with {op}",
                    remedy=f"{base} takes {'  '.join(operators)}",
                )
            if base == "state":
                chosen = _places(value)
                places &= chosen if op == "=" else frozenset(Place) - chosen
            elif base == "age":
                bound = _seconds(name, value)
                older, younger = (max(older, bound), younger) if op == ">" else (older, min(younger, bound))
            else:
                terms.append(_term(base, name, op, value))
        return cls(text.strip(), places, older or None, None if younger == float("inf") else younger, tuple(terms))

    def within(self, *places: Place) -> JobFilter:
        """The same filter, for jobs in these places only."""
        return JobFilter(
            self.text,
            self.places & frozenset(places),
            self.older_than_seconds,
            self.younger_than_seconds,
            self.terms,
        )

    def parameters(self) -> tuple[list[str], str, float | None, float | None]:
        """The first four parameters of ``find`` and ``preview``."""
        terms = json.dumps([term.plain() for term in self.terms])
        return sorted(self.places), terms, self.older_than_seconds, self.younger_than_seconds


def _split(text: str) -> list[tuple[str, str, str]]:
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None:
            raise FilterInvalid(f"not understood from here on: {text[at:].strip()[:60]!r}", remedy=_HELP)
        found.append((term[1], term[2], term[3]))
        at = term.end()
    return found


def _known(name: str) -> tuple[str, Sequence[str]]:
    base, dot, path = name.partition(".")
    if base == "args" and not path:
        raise FilterInvalid("args needs the name of an argument", remedy="write args.user_id=42")
    if base not in FIELDS or (dot and base != "args"):
        near = difflib.get_close_matches(base, FIELDS, n=1)
        raise FilterInvalid(
            f"jobs have no field {name!r}",
            remedy=f"did you mean {near[0]}?" if near else f"fields are {', '.join(FIELDS)}",
        )
    return base, FIELDS[base]


def _values(value: str) -> tuple[str, ...]:
    return tuple(re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted else plain for quoted, plain in _VALUE.findall(value))


def _places(value: str) -> frozenset[Place]:
    names = _values(value)
    for name in names:
        if name not in set(Place):
            near = difflib.get_close_matches(name, list(Place), n=1)
            raise FilterInvalid(
                f"there is no state {name!r}",
                remedy=f"did you mean {near[0]}?" if near else f"states are {', '.join(Place)}",
            )
    return frozenset(Place(name) for name in names)


def _term(base: str, name: str, op: str, value: str) -> Term:
    negated, op = op.startswith("!"), op.removeprefix("!")
    if base in ("ended", "due"):
        return Term(base, op, negated, number=_seconds(name, value))
    if base in ("priority", "attempt"):
        try:
            number = float(value)
        except ValueError:
            raise FilterInvalid(f"{name}{op}{value}: {value!r} is not a number", remedy=f"write {name}>5") from None
        return Term(base, op, negated, number=number)
    path = tuple(name.split(".")[1:]) if base == "args" else ()
    return Term(base, op, negated, path=path, texts=_values(value))


def _seconds(name: str, value: str) -> float:
    try:
        return seconds_of(value)
    except ConfigurationError as error:
        raise FilterInvalid(f"{name}: {error.message}", remedy=error.remedy) from None
