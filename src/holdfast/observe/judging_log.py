"""The conditions of the verdict about the server, the event log and its projections. Pure: a sight in, reasons out."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.events import projections
from holdfast.jobs import span
from holdfast.observe.sight import HolderSight, Sight
from holdfast.observe.verdict import Kind, Noun, Patience, Reason, Severity, Subject
from holdfast.observe.words import many, number, some, typed

_UNPUBLISHED_SECONDS = 10.0
_QUERY_SHOWN = 200


def judge_server(sight: Sight, patience: Patience) -> Iterator[Reason]:
    """A standby, and a server that has hardly a connection left."""
    server = sight.server
    if server.standby:
        yield Reason(
            Kind.READ_ONLY,
            Severity.CRITICAL,
            Subject(Noun.DATABASE),
            "database: the server is a standby and accepts no writes",
            "point HOLDFAST_DATABASE_URL at the primary, or list all hosts in it so that the primary is found",
        )
    if server.connections >= patience.connections * server.allowed:
        most = some([f"{each.application} {number(each.count)}" for each in server.users], 3)
        used_up = server.connections >= server.allowed
        yield Reason(
            Kind.CONNECTIONS,
            Severity.CRITICAL if used_up else Severity.PROBLEM,
            Subject(Noun.DATABASE),
            f"database: {number(server.connections)} of {number(server.allowed)} connections are in use ({most})",
            "close what is not needed, make pools smaller or put a pooler before the server; "
            "max_connections says how many there are",
        )


def judge_log(sight: Sight, patience: Patience) -> Iterator[Reason]:
    """The log: readers held back by an open append, nobody who publishes, a sequence behind the log."""
    log = sight.log
    if log.drawn < max(log.settled, log.highest):
        yield Reason(
            Kind.LOG_BEHIND,
            Severity.CRITICAL,
            Subject(Noun.LOG),
            f"event log: the sequence stands at {log.drawn}, before the last event {max(log.settled, log.highest)}, "
            "as after a restore; appends are refused",
            "holdfast event adopt",
        )
        return
    if log.drawn <= log.settled:
        return
    oldest = max(log.holders, key=lambda holder: holder.age_seconds or 0.0, default=None)
    if oldest is not None and (oldest.age_seconds or 0.0) >= patience.stall:
        yield _stalled(sight, oldest)
    elif oldest is None and (log.waiting_seconds or 0.0) > _UNPUBLISHED_SECONDS:
        nobody = "no worker is live" if not sight.live else "no worker ticks"
        yield Reason(
            Kind.LOG_UNPUBLISHED,
            Severity.PROBLEM,
            Subject(Noun.LOG),
            f"event log: events wait to be published for {span(log.waiting_seconds)}, and {nobody}",
            "start a worker: holdfast worker --app …",
        )


def _stalled(sight: Sight, oldest: HolderSight) -> Reason:
    served = any(each.state not in ("paused", "retired") for each in sight.projected)
    age = span(oldest.age_seconds)
    behind = sight.log.drawn - sight.log.settled
    waits = f"event log: readers wait at position {sight.log.settled}, {many(behind, 'position')} behind; "
    query = " ".join((oldest.query or "").split())
    if oldest.prepared is not None:
        text = f"{waits}the prepared transaction {oldest.prepared!r} has held them back for {age}"
        remedy = f"end it: COMMIT PREPARED or ROLLBACK PREPARED '{oldest.prepared}'"
    else:
        text = (
            f"{waits}pid {oldest.pid} ({oldest.application or 'unnamed'}, {oldest.state or 'state unknown'}) "
            f"has held a transaction with an append open for {age}"
        )
        remedy = f"commit or roll back there, or end the session: holdfast db terminate {oldest.pid}"
    severity = Severity.CRITICAL if served else Severity.PROBLEM
    return Reason(Kind.LOG_STALLED, severity, Subject(Noun.LOG), text, remedy, query[:_QUERY_SHOWN] or None)


def judge_projections(sight: Sight, patience: Patience) -> Iterator[Reason]:
    """Projections: stopped, parked, unserved, behind; retired ones are not asked for, paused ones are a decision."""
    for each in sight.projected:
        if each.state == "retired":
            continue
        yield from _projection(each, patience)


def _projection(each: projections.ProjectionInfo, patience: Patience) -> Iterator[Reason]:
    name, quoted = each.name, typed(each.name)
    if each.stopped:
        yield _about(
            Kind.PROJECTION_STOPPED,
            name,
            f"{many(each.stopped, 'partition')} stopped at an event that fails, {_behind(each)}",
            f"see the error: holdfast projection lag {quoted}; then fix it and holdfast projection resume {quoted}",
        )
    if each.undecided:
        yield _about(
            Kind.PROJECTION_PARKED,
            name,
            f"{many(each.undecided, 'stream')} parked at an event that fails, and waiting for a person",
            f"see which: holdfast projection parked {quoted};"
            f" then holdfast projection unpark {quoted} --all (or --skip)",
        )
    if each.state in ("unserved", "partly served"):
        yield _about(
            Kind.PROJECTION_UNSERVED,
            name,
            f"{each.problems[0] if each.problems else each.state}, {_behind(each)}",
            f"start a worker of its application, or retire it: holdfast projection retire {quoted}",
        )
    elif each.state != "paused" and not each.stopped and (each.lag_seconds or 0.0) > patience.lag:
        yield _about(
            Kind.PROJECTION_LAGGING,
            name,
            f"{_behind(each)}, the oldest for {span(each.lag_seconds)}",
            f"see where: holdfast projection lag {quoted}; more workers share its partitions",
        )
    for problem in each.problems:
        if problem.startswith(("refused", "code of version")):
            yield _about(Kind.PROJECTION_TROUBLED, name, problem, "see all: holdfast projection list")


def _about(kind: Kind, name: str, text: str, remedy: str) -> Reason:
    return Reason(kind, Severity.PROBLEM, Subject(Noun.PROJECTION, name), f"projection {name}: {text}", remedy)


def _behind(each: projections.ProjectionInfo) -> str:
    return f"{many(each.lag_events or 0, 'event')} behind"
