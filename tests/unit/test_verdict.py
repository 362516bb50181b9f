"""Every reason of the verdict: from when on it is said, how it is said, and how much of the system it stops."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from holdfast.events.projections import ProjectionInfo
from holdfast.observe import Kind, Severity, Sight, Status, judge, unavailable
from holdfast.observe.sight import (
    ConnectionsOf,
    FailureSight,
    HolderSight,
    LaneSight,
    LogSight,
    QueueSight,
    ScheduleSight,
    ServerSight,
    WorkerSight,
)

AT = datetime(2026, 7, 1, 7, tzinfo=UTC)
ROOT = Path(__file__).parent.parent.parent
QUEUE = QueueSight("mail", 0, True, None, 0, 0, 0, None, None, None, 0, 0, 0)
WORKER = WorkerSight(7, "w-7", "here", 1, "live", ("mail",), 2, (), None, 0.5, 900.0, None, 0.5, 1.0)
LOG = LogSight(10, 10, 10, None, ())
SERVER = ServerSight("18.0", False, 97, 5, (ConnectionsOf("web", 4), ConnectionsOf("holdfast", 1)))
QUIET = Sight(AT, (QUEUE,), (WORKER,), (), (), (), LOG, SERVER, None)
HOLDER = HolderSight(42, "import", "ada", None, "idle in transaction", 30.0, "INSERT …", None)
PROJECTION = ProjectionInfo(
    name="totals",
    kind="model",
    on_failure="park",
    state="running",
    version=1,
    model=1,
    building=None,
    kept=None,
    workers=1,
    partitions_held=64,
    lag_events=0,
    lag_seconds=None,
    building_lag_events=None,
    parked=0,
    undecided=0,
    stopped=0,
    paused_at=None,
    pause_reason=None,
    problems=[],
)


def waiting(seconds: float, count: int = 12, **changes: Any) -> QueueSight:
    return replace(QUEUE, ready=count, oldest_seconds=seconds, **changes)


def projected(**changes: Any) -> Sight:
    return replace(QUIET, projected=[replace(PROJECTION, **changes)])


def said(sight: Sight) -> list[tuple[str, str]]:
    """Kind and sentence of every reason."""
    return [(reason.kind.value, reason.text) for reason in judge(sight).reasons]


DEAD = replace(WORKER, state="dead", end_reason="killed", ended_seconds=120.0, silent_seconds=None)
STUCK = replace(WORKER, asked_seconds=120.0, running=(5, 6))

CASES: list[tuple[Sight, str, str, str]] = [
    (replace(QUIET, server=replace(SERVER, standby=True)), "read_only", "STALLED", "is a standby"),
    (
        replace(QUIET, server=replace(SERVER, connections=88)),
        "connections_used_up",
        "DEGRADED",
        "88 of 97 connections are in use (web 4, holdfast 1)",
    ),
    (replace(QUIET, server=replace(SERVER, connections=97)), "connections_used_up", "STALLED", "97 of 97"),
    (
        replace(QUIET, queues=(waiting(1, name="nail"),)),
        "nobody_listens",
        "STALLED",
        'queue nail: 12 ready, oldest 1 s, no worker listens (did you mean "mail"? worker w-7 does)',
    ),
    (
        replace(QUIET, queues=(waiting(1, name="exports"), waiting(1))),
        "nobody_listens",
        "DEGRADED",
        "no worker listens (workers listen to mail)",
    ),
    (replace(QUIET, queues=(waiting(1),), workers=()), "nobody_listens", "STALLED", "(no worker is live)"),
    (
        replace(QUIET, queues=(waiting(40),), workers=(STUCK,)),
        "not_claiming",
        "STALLED",
        "none of them asks for jobs (w-7 for 2 min)",
    ),
    (
        replace(QUIET, workers=(STUCK,)),
        "not_claiming",
        "DEGRADED",
        "worker w-7 on here is alive and has not asked for jobs for 2 min (it runs job 5, 6)",
    ),
    (
        replace(QUIET, queues=(waiting(61),), workers=(replace(WORKER, running=(1, 2)),)),
        "no_free_slot",
        "DEGRADED",
        "queue mail: 12 ready, oldest 61 s, all 2 slots of its workers are taken",
    ),
    (
        replace(QUIET, queues=(waiting(61, ready_is_exact=False),)),
        "not_keeping_up",
        "DEGRADED",
        "queue mail: more than 12 ready, oldest 61 s, its workers do not keep up",
    ),
    (
        replace(QUIET, queues=(waiting(5, paused_at=AT - timedelta(hours=3), paused_by="ada"),)),
        "paused_with_backlog",
        "DEGRADED",
        "queue mail: paused 3 h ago by ada, 12 ready, oldest 5 s",
    ),
    (
        replace(QUIET, workers=(WORKER, DEAD)),
        "worker_ended",
        "DEGRADED",
        "worker w-7 on here ended 2 min ago: killed",
    ),
    (replace(QUIET, workers=(DEAD,)), "worker_ended", "DEGRADED", "killed; no worker is live any more"),
    (
        replace(QUIET, workers=(replace(WORKER, silent_seconds=16.0),)),
        "worker_silent",
        "DEGRADED",
        "worker w-7 on here (pid 1) has not been heard of for 16 s; no worker is live any more",
    ),
    (
        replace(QUIET, lanes=(LaneSight("user-42", "81190", "sync", "mail", 7, "w-3", 840.0, 1, 2.0),)),
        "lane_held",
        "DEGRADED",
        'lane "user-42": 1 job waits behind job 81190 (sync, running 14 min on w-3, usual 2 s)',
    ),
    (
        replace(
            QUIET,
            queues=(replace(QUEUE, completed=100, failed=20),),
            failures=(FailureSight("mail", "send", "OSError", 20, "no route", "5"),),
        ),
        "failing",
        "DEGRADED",
        "queue mail: 20 of 120 attempts failed in 5 min, mostly OSError in send",
    ),
    (
        replace(QUIET, queues=(replace(QUEUE, completed=50, retried=50),)),
        "failing",
        "DEGRADED",
        "queue mail: 50 of 100 attempts failed in 5 min",
    ),
    (
        replace(QUIET, schedules=(ScheduleSight("cleanup", 61.0),)),
        "schedule_missed",
        "DEGRADED",
        "schedule cleanup: due 61 s ago, and no worker has decided about it",
    ),
    (
        replace(QUIET, log=replace(LOG, drawn=12, holders=(HOLDER,))),
        "log_stalled",
        "DEGRADED",
        "readers wait at position 10, 2 positions behind; pid 42 (import, idle in transaction) has held",
    ),
    (
        replace(projected(), log=replace(LOG, drawn=12, holders=(replace(HOLDER, pid=None, prepared="tx-1"),))),
        "log_stalled",
        "STALLED",
        "the prepared transaction 'tx-1' has held them back for 30 s",
    ),
    (
        replace(QUIET, log=replace(LOG, drawn=12, highest=12, waiting_seconds=11.0), workers=()),
        "log_unpublished",
        "DEGRADED",
        "events wait to be published for 11 s, and no worker is live",
    ),
    (replace(QUIET, log=replace(LOG, drawn=3)), "log_behind", "STALLED", "the sequence stands at 3"),
    (
        projected(state="unserved", workers=0, lag_events=5, problems=["nobody serves it"]),
        "projection_unserved",
        "DEGRADED",
        "projection totals: nobody serves it, 5 events behind",
    ),
    (
        projected(state="stopped", stopped=2, lag_events=1),
        "projection_stopped",
        "DEGRADED",
        "2 partitions stopped at an event that fails, 1 event behind",
    ),
    (projected(parked=3, undecided=2), "projection_parked", "DEGRADED", "2 streams parked"),
    (
        projected(lag_events=1204, lag_seconds=90.0),
        "projection_lagging",
        "DEGRADED",
        "1\N{NARROW NO-BREAK SPACE}204 events behind, the oldest for 90 s",
    ),
    (
        projected(problems=["refused: process 5 on here: key 1 is taken"]),
        "projection_troubled",
        "DEGRADED",
        "refused: process 5",
    ),
]


@pytest.mark.parametrize(
    ("sight", "kind", "status", "sentence"), CASES, ids=[f"{c[1]}-{n}" for n, c in enumerate(CASES)]
)
def test_a_reason_is_said_with_its_remedy(sight: Sight, kind: str, status: str, sentence: str) -> None:
    verdict = judge(sight)

    assert any(sentence in text for said_kind, text in said(sight) if said_kind == kind), said(sight)
    assert verdict.status == status
    assert all(reason.remedy and reason.text for reason in verdict.reasons)


@pytest.mark.parametrize(
    "sight",
    [
        QUIET,
        replace(QUIET, workers=()),
        replace(QUIET, queues=(waiting(59),)),
        replace(QUIET, queues=(replace(QUEUE, paused_at=AT),)),
        replace(QUIET, workers=(WORKER, replace(DEAD, end_reason="stopped"))),
        replace(QUIET, workers=(replace(WORKER, asked_seconds=29.0),)),
        replace(QUIET, lanes=(LaneSight("u", "1", "sync", "mail", 7, "w", 200.0, 3, 100.0),)),
        replace(QUIET, queues=(replace(QUEUE, completed=10, failed=19),)),
        replace(QUIET, queues=(replace(QUEUE, completed=10_000, failed=20),)),
        replace(QUIET, schedules=(ScheduleSight("cleanup", 59.0),)),
        replace(QUIET, log=replace(LOG, drawn=12, holders=(replace(HOLDER, age_seconds=4.0),))),
        replace(QUIET, log=replace(LOG, drawn=12)),
        replace(QUIET, server=replace(SERVER, connections=87)),
        projected(state="retired", undecided=1, stopped=1),
        projected(state="paused", lag_seconds=900.0, lag_events=9, paused_at=AT),
        projected(lag_seconds=59.0),
    ],
)
def test_what_needs_nobody_is_not_said(sight: Sight) -> None:
    assert (judge(sight).status, said(sight)) == (Status.OK, [])


def test_many_workers_that_ended_are_told_in_few_lines() -> None:
    ended = tuple(replace(DEAD, id=n, ended_seconds=float(n)) for n in range(1, 9))
    reasons = judge(replace(QUIET, workers=(WORKER, *ended))).reasons

    assert len(reasons) == 3
    assert reasons[-1].text.endswith("killed, and 5 more workers before it")


def test_what_is_critical_comes_first() -> None:
    sight = replace(QUIET, queues=(waiting(1, name="nail"),), schedules=(ScheduleSight("cleanup", 61.0),), lanes=())
    severities = [reason.severity for reason in judge(sight).reasons]

    assert severities == [Severity.CRITICAL, Severity.PROBLEM]


def test_a_statement_and_the_message_of_an_error_stand_apart_from_the_sentence() -> None:
    stalled = judge(replace(QUIET, log=replace(LOG, drawn=12, holders=(HOLDER,)))).reasons[0]

    assert (stalled.detail, "INSERT" in stalled.text) == ("INSERT …", False)


def test_a_database_that_is_away_or_takes_no_writes_is_the_verdict() -> None:
    for message, kind in (("no answer within 3 s", "database_unavailable"), ("here accepts no writes", "read_only")):
        verdict = unavailable(message)
        assert (verdict.status, verdict.reasons[0].kind) == (Status.STALLED, kind)
        assert verdict.reasons[0].remedy


def test_every_kind_has_a_case_here_and_a_row_in_the_documentation() -> None:
    page = (ROOT / "docs/operations/verdict.md").read_text(encoding="utf-8")
    cases = {kind for _, kind, _, _ in CASES} | {"database_unavailable"}

    assert cases == {kind.value for kind in Kind}
    assert [kind.value for kind in Kind if f"`{kind.value}`" not in page] == []
