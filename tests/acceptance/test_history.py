"""A checker that never failed proves nothing: each is shown histories it must refuse."""

from __future__ import annotations

from dataclasses import replace

from tests.acceptance.history import (
    History,
    completed_without_running,
    doubled,
    effects_not_once,
    lost,
    troubles,
)

GOOD = History(
    acknowledged={1: 101, 2: 102},
    unknown={3},
    jobs=[(101, 1), (102, 2), (103, 3)],
    ended={101: "completed", 102: "failed", 103: "completed"},
    transactional={101, 102},
    ledger=[101],
    executions=[101, 101, 102, 103],
)


def test_a_good_history_has_no_troubles() -> None:
    assert troubles(GOOD) == []
    assert troubles(replace(GOOD, jobs=GOOD.jobs[:2], ended={101: "completed", 102: "failed"})) == []


def test_an_acknowledged_job_that_is_not_there_is_lost() -> None:
    assert lost(replace(GOOD, acknowledged={**GOOD.acknowledged, 4: 104}))
    assert lost(replace(GOOD, jobs=GOOD.jobs[1:]))


def test_an_acknowledged_job_that_never_ends_is_lost() -> None:
    assert lost(replace(GOOD, ended={101: "completed", 103: "completed"}))


def test_a_request_that_became_two_jobs_is_doubled() -> None:
    assert doubled(replace(GOOD, jobs=[*GOOD.jobs, (104, 1)]))


def test_a_job_nobody_asked_for_is_seen() -> None:
    assert doubled(replace(GOOD, jobs=[*GOOD.jobs, (104, 9)]))


def test_an_effect_is_there_once_when_completed_and_never_otherwise() -> None:
    assert effects_not_once(replace(GOOD, ledger=[101, 101]))
    assert effects_not_once(replace(GOOD, ledger=[]))
    assert effects_not_once(replace(GOOD, ledger=[101, 102]))
    assert effects_not_once(replace(GOOD, ledger=[101, 999]))


def test_a_completion_without_an_execution_is_seen() -> None:
    assert completed_without_running(replace(GOOD, executions=[102, 103]))
