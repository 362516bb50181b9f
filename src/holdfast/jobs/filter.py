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
failure   ``=``                            a group of failures, by its fingerprint (``holdfast failure list``)
args.NAME ``=  !=  ~  !~``                 an argument by name; inside of an object only by ``args.user.id``
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
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

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
        "failure": ("=",),
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

_BY_SIGHT: Final = {"queue": "queues", "task": "tasks", "failure": "failures", "id": "ids"}
"""Fields whose ``=`` a search need not read the whole job for, and what holds them in a ``JobFilter``."""

_HIGHEST_ID: Final = 2**63 - 2
"""A search asks for what lies below the next one, which must be a bigint still."""
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
    """A filter that was understood: the places to look in, bounds of the age in seconds, and the other terms.

    ``queues``, ``tasks``, ``failures`` and ``ids`` are what a job must be one of, None for any; a search knows them by
    sight. ``says_state``: whether somebody wrote which states are meant.
    """

    text: str = ""
    places: frozenset[Place] = frozenset(Place)
    older_than_seconds: float | None = None
    younger_than_seconds: float | None = None
    terms: tuple[Term, ...] = field(default_factory=tuple)
    queues: frozenset[str] | None = None
    tasks: frozenset[str] | None = None
    failures: frozenset[str] | None = None
    ids: frozenset[int] | None = None
    says_state: bool = False

    @staticmethod
    def parse(text: str) -> JobFilter:
        """Understand a filter. Raises ``FilterInvalid`` that names the term and what to write instead."""
        found = JobFilter(text.strip())
        for name, op, value in _split(text):
            base, operators = _known(name)
            if op not in operators:
                raise FilterInvalid(
                    f"{name}{op}{value}: {base} cannot be compared with {op}",
                    remedy=f"{base} takes {'  '.join(operators)}",
                )
            if base == "state":
                chosen = _places(value)
                places = chosen if op == "=" else frozenset(Place) - chosen
                found = replace(found, places=found.places & places, says_state=True)
            elif base == "age":
                found = _of_age(found, op, _seconds(name, value))
            elif base in _BY_SIGHT and op == "=":
                found = _one_of(found, base, _values(value))
            else:
                found = replace(found, terms=(*found.terms, _term(base, name, op, value)))
        return found if found.failures is None else found.within(Place.FAILED)

    def within(self, *places: Place) -> JobFilter:
        """The same filter, for jobs in these places only."""
        return replace(self, places=self.places & frozenset(places))

    def among(self, queues: Collection[str] | None) -> JobFilter:
        """The same filter, for jobs of these queues only; None: of any."""
        if queues is None:
            return self
        return replace(self, queues=frozenset(queues) & (self.queues if self.queues is not None else frozenset(queues)))

    def terms_text(self) -> str | None:
        """The terms that are judged job by job, as the database takes them; None: there are none."""
        return json.dumps([term.plain() for term in self.terms]) if self.terms else None


def _of_age(found: JobFilter, op: str, seconds: float) -> JobFilter:
    if op == ">":
        return replace(found, older_than_seconds=max(found.older_than_seconds or 0.0, seconds))
    return replace(found, younger_than_seconds=min(found.younger_than_seconds or float("inf"), seconds))


def _one_of(found: JobFilter, base: str, values: tuple[str, ...]) -> JobFilter:
    known: frozenset[Any] | None = getattr(found, _BY_SIGHT[base])
    meant: frozenset[Any] = frozenset(_ids(values) if base == "id" else values)
    changes: dict[str, Any] = {_BY_SIGHT[base]: meant if known is None else known & meant}
    if base == "id":  # what a search knows of ids is the lowest and the highest
        changes["terms"] = (*found.terms, Term("id", "=", texts=values))
    return replace(found, **changes)


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


def quoted(value: str) -> str:
    """A value as a filter has it, whatever stands in it."""
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _ids(values: tuple[str, ...]) -> list[int]:
    for value in values:
        if not value.isascii() or not value.isdigit() or len(value) > 19 or int(value) > _HIGHEST_ID:
            raise FilterInvalid(f"{value!r} is no id of a job", remedy="ids are whole numbers, as job list shows them")
    return [int(value) for value in values]


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
            number = float("nan")
        if not math.isfinite(number):
            raise FilterInvalid(f"{name}{op}{value}: {value!r} is not a number", remedy=f"write {name}>5")
        return Term(base, op, negated, number=number)
    path = tuple(name.split(".")[1:]) if base == "args" else ()
    return Term(base, op, negated, path=path, texts=_values(value))


def _seconds(name: str, value: str) -> float:
    try:
        return seconds_of(value)
    except ConfigurationError as error:
        raise FilterInvalid(f"{name}: {error.message}", remedy=error.remedy) from None
