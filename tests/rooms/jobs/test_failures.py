"""Failures in groups: what is one failure, how often, since when, and what people have made of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import Holdfast, Retry
from holdfast.errors import ConfigurationError, FailureUnknown
from holdfast.jobs import FailureFolder, Failures, FailureState, JobFilter, error_text
from tests.rooms.working import working
from tests.waiting import eventually

NOTED = "SELECT count(*) FROM holdfast.failure_noted"
FAIL = """
    WITH numbered AS (
        SELECT (SELECT coalesce(max(id), (SELECT lowest_id FROM holdfast.storage)) FROM holdfast.job) + n AS id
        FROM generate_series(1, $1::integer) AS n),
    stored AS (
        INSERT INTO holdfast.job (id, queue, task, args, priority, flags)
        SELECT id, $2, $3, '{}', 5, 0 FROM numbered)
    INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)
    SELECT id, 0, 2, 1, holdfast.now(), $4::jsonb FROM numbered RETURNING job_id"""


Fail = Callable[..., Awaitable[list[int]]]


@pytest.fixture
async def failures(app: Holdfast) -> Failures:
    return Failures(app.database)


@pytest.fixture
async def folder(app: Holdfast) -> FailureFolder:
    return FailureFolder(app.database, retention_days=30)


@pytest.fixture
async def fail(outsider: Any, folder: FailureFolder) -> Fail:
    """Jobs that have failed, counted."""

    async def fail(jobs: int = 1, queue: str = "mail", task: str = "send", **error: str | None) -> list[int]:
        told = {"type": "Boom", "message": "no", "frame": "shop:send"} | error
        ids = [row[0] for row in await outsider.fetch(FAIL, jobs, queue, task, json.dumps(told))]
        await folder.fold()
        return ids

    return fail


def deep_in_a_library() -> None:
    json.loads("{")


def raised(function: Callable[[], Any]) -> dict[str, Any]:
    try:
        function()
    except Exception as error:  # noqa: BLE001
        told: dict[str, Any] = json.loads(error_text(error))
        return told
    raise AssertionError


def test_the_frame_of_an_error_is_the_innermost_one_of_the_application() -> None:
    assert raised(deep_in_a_library)["frame"] == f"{__name__}:deep_in_a_library"
    assert "frame" not in json.loads(error_text(ValueError("never raised")))


async def test_what_a_worker_sees_fail_is_counted_by_task_type_and_frame(app: Holdfast, failures: Failures) -> None:
    def check(n: int) -> None:
        if n % 2:
            raise ValueError(f"odd: {n}")
        json.loads("{")

    @app.task(retry=Retry(max_attempts=1))
    async def work(n: int) -> None:
        check(n)

    await work.enqueue_many([(n,) for n in range(6)])
    async with working(app):

        async def all_counted() -> bool:
            return sum(group.failures for group in await failures.list()) == 6

        await eventually(all_counted)
        groups = {group.error_type: group for group in await failures.list()}
    odd, broken = groups["ValueError"], groups["JSONDecodeError"]
    assert (odd.failures, odd.task, odd.queues, odd.state) == (3, "work", ["default"], FailureState.NEW)
    assert odd.frame == broken.frame == f"{__name__}:{check.__qualname__}"
    assert odd.fingerprint != broken.fingerprint
    assert odd.message.startswith("odd: ")
    assert (len(odd.buckets), sum(odd.buckets), odd.buckets[-1] + odd.buckets[-2]) == (24, 3, 3)
    assert (await app.jobs.show(odd.sample_job)).error["type"] == "ValueError"  # type: ignore[index]
    found = await app.jobs.search(JobFilter.parse(f"failure={odd.fingerprint}"))
    assert len(found.jobs) == 3
    assert {match.error_type for match in found.jobs} == {"ValueError"}


async def test_lines_and_messages_do_not_tell_failures_apart_tasks_types_and_frames_do(
    failures: Failures, fail: Fail
) -> None:
    await fail(message="user 1")
    await fail(message="user 2\nsecond line")
    (group,) = await failures.list()
    assert (group.failures, group.message) == (2, "user 2")
    for other in ({"task": "other"}, {"type": "Bang"}, {"frame": "shop:other"}):
        await fail(**other)
    assert len(await failures.list()) == 4


async def test_an_error_from_before_has_its_frame_read_from_the_traceback(failures: Failures, fail: Fail) -> None:
    trace = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.12/site-packages/holdfast/worker/attempt.py", line 80, in run
    result = await work
  File "/srv/shop/mail.py", line 7, in send
    connect()
  File "/srv/shop/wire.py", line 9, in connect
    socket.create_connection(address)
  File "/usr/lib/python3.12/socket.py", line 852, in create_connection
    raise exceptions[0]
OSError: refused"""
    await fail(type="OSError", message="refused", traceback=trace, frame=None)
    (group,) = await failures.list()
    assert group.frame == "wire:connect"


async def test_a_failure_is_counted_once_and_again_only_when_the_job_fails_again(
    app: Holdfast, failures: Failures, folder: FailureFolder, fail: Fail, outsider: Any
) -> None:
    (job,) = await fail()
    # A straggler of a dropped partition takes its outcome along: that is no second failure.
    await outsider.execute("INSERT INTO holdfast.failure_noted (job_id) SELECT $1 FROM generate_series(1, 3)", job)
    assert await folder.fold() == 1
    assert (await failures.list())[0].failures == 1
    await app.jobs.retry(job)
    await outsider.execute(
        """WITH gone AS (DELETE FROM holdfast.ready WHERE job_id = $1)
           INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)
           VALUES ($1, 0, 2, 2, holdfast.now(), '{"type": "Boom", "message": "again", "frame": "shop:send"}')""",
        job,
    )
    await folder.fold()
    (group,) = await failures.list()
    assert (group.failures, group.message) == (2, "again")


async def test_what_was_retried_before_it_was_counted_is_passed_over(
    app: Holdfast, failures: Failures, folder: FailureFolder, outsider: Any
) -> None:
    (job,) = [row[0] for row in await outsider.fetch(FAIL, 1, "mail", "send", '{"type": "Boom"}')]
    await app.jobs.retry(job)
    assert await folder.fold() == 1
    assert await failures.list() == []
    assert await outsider.fetchval(NOTED) == 0


async def test_marks_say_what_people_made_of_it_and_time_says_that_it_came_back(failures: Failures, fail: Fail) -> None:
    await fail()
    (group,) = await failures.list()
    seen = await failures.mark(group.fingerprint, "seen", by="ada")
    assert (seen.state, seen.marked_by) == (FailureState.SEEN, "ada")
    resolved = await failures.mark(group.fingerprint, FailureState.RESOLVED, note="released 1.2", by="bob")
    assert (resolved.state, resolved.note, resolved.marked_by) == (FailureState.RESOLVED, "released 1.2", "bob")
    await fail()
    assert (await failures.show(group.fingerprint)).state == FailureState.REGRESSED
    assert (await failures.mark(group.fingerprint, "resolved")).state == FailureState.RESOLVED
    assert (await failures.mark(group.fingerprint, "new")).state == FailureState.NEW
    with pytest.raises(ConfigurationError, match="nobody can mark a failure as regressed"):
        await failures.mark(group.fingerprint, "regressed")
    with pytest.raises(FailureUnknown, match="no group of failures 'x'"):
        await failures.mark("x", "seen")


async def test_groups_are_listed_by_queue_the_last_to_fail_first_page_by_page(failures: Failures, fail: Fail) -> None:
    for n in range(5):
        await fail(jobs=n + 1, queue="mail" if n % 2 else "other", type=f"E{n}")
    await fail(jobs=2, queue="mail", type="E0")
    (both,) = [group for group in await failures.list() if group.error_type == "E0"]
    assert (both.queues, both.failures) == (["mail", "other"], 3)
    assert [group.error_type for group in await failures.list()] == ["E0", "E4", "E3", "E2", "E1"]
    mail = await failures.list(queues=["mail"])
    assert [(group.error_type, group.failures) for group in mail] == [("E0", 2), ("E3", 4), ("E1", 2)]
    assert sum((await failures.show(both.fingerprint, queues=["mail"])).buckets) == 2
    pages, after = list[str](), None
    while page := await failures.list(after=after, limit=2):
        pages += [group.error_type for group in page]
        after = (page[-1].last_at, page[-1].fingerprint)
    assert pages == ["E0", "E4", "E3", "E2", "E1"]
    with pytest.raises(FailureUnknown):
        await failures.show(both.fingerprint, queues=["elsewhere"])


async def test_what_is_long_over_is_forgotten_and_nothing_else(
    failures: Failures, folder: FailureFolder, fail: Fail, outsider: Any
) -> None:
    await fail(type="Old")
    await outsider.execute("UPDATE holdfast.failure_group SET last_at = now() - interval '31 days'")
    await fail(type="New")
    await folder.forget()
    assert [group.error_type for group in await failures.list()] == ["New"]


async def test_many_are_counted_in_bounded_steps(failures: Failures, folder: FailureFolder, outsider: Any) -> None:
    await outsider.fetch(FAIL, 5_000, "mail", "send", '{"type": "Boom", "message": "m", "frame": "f"}')
    assert await outsider.fetchval("SELECT holdfast.fold_failures_v1(10)") == 10
    assert await folder.fold() == 4_990
    assert [group.failures for group in await failures.list()] == [5_000]
