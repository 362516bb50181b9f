"""Tasks in child processes: what they return and raise, how they die, and how they are stopped."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from holdfast import Holdfast
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.worker import elsewhere_tasks as tasks
from tests.rooms.working import working
from tests.waiting import eventually


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Holdfast]:
    tasks.app.configure(database_url)
    async with tasks.app:
        yield tasks.app


async def test_results_come_back_from_another_process(app: Holdfast) -> None:
    ids = [await tasks.add.enqueue(1, 2), await tasks.add_slowly.enqueue(3, 4), await tasks.who.enqueue()]
    async with working(app):
        three, seven, who = [await app.jobs.result(job_id, timeout_seconds=30) for job_id in ids]
    assert (three, seven) == (3, 7)
    assert who["pid"] != os.getpid()
    assert who == {"pid": who["pid"], "job": ids[2], "current": ids[2], "attempt": 1}


async def test_a_child_serves_one_job_after_another(app: Holdfast) -> None:
    ids = [await tasks.who.enqueue() for _ in range(6)]
    async with working(app, concurrency=1):
        pids = {(await app.jobs.result(job_id, timeout_seconds=30))["pid"] for job_id in ids}
    assert len(pids) == 1


async def test_errors_keep_their_class_their_message_and_their_traceback(app: Holdfast) -> None:
    final, retried = await tasks.fail.enqueue("strange"), await tasks.fail.enqueue("value")
    async with working(app):
        strange = await app.jobs.wait(final, timeout_seconds=30)
        value = await app.jobs.wait(retried, timeout_seconds=30)
    assert (strange.state, strange.attempt) == ("failed", 1), "give_up_on knows the class"
    assert (value.state, value.attempt) == ("failed", 2)
    assert strange.error is not None
    assert (strange.error["type"], strange.error["message"]) == ("Strange", "a strange error")
    assert "in fail" in strange.error["traceback"]


async def test_a_checkpoint_that_nobody_could_find_again_is_refused(app: Holdfast) -> None:
    job_id = await tasks.save.enqueue()
    async with working(app):
        info = await app.jobs.wait(job_id, timeout_seconds=30)
    assert info.error is not None
    assert (info.state, info.error["type"]) == ("failed", "ConfigurationError")
    assert "checkpoints cannot be kept" in info.error["message"]


async def test_a_result_that_cannot_be_stored_fails_for_good(app: Holdfast) -> None:
    job_id = await tasks.unstorable.enqueue()
    async with working(app):
        info = await app.jobs.wait(job_id, timeout_seconds=30)
    assert info.error is not None
    assert (info.state, info.attempt, info.error["type"]) == ("failed", 1, "ResultNotStorable")


async def test_a_snooze_comes_back_as_one(app: Holdfast, tmp_path: Path) -> None:
    job_id = await tasks.snooze.enqueue(str(tmp_path / "seen"))
    async with working(app) as worker:
        assert await app.jobs.result(job_id, timeout_seconds=30) == "woke up"
        assert worker.report.snoozed == 1


@pytest.mark.parametrize(
    ("how", "reason"),
    [("kill", "was killed by SIGKILL (out of memory, perhaps)"), ("exit", "exited with 3")],
)
async def test_a_job_that_kills_its_child_again_and_again_is_given_up(
    app: Holdfast, tmp_path: Path, how: str, reason: str
) -> None:
    job_id = await tasks.die.enqueue(how, str(tmp_path / "log"))
    async with working(app, max_losses=2) as worker:
        info = await app.jobs.wait(job_id, timeout_seconds=30)
        assert worker.report.lost == 1
    assert (info.state, info.attempt) == ("failed", 1), "a loss uses up no attempt"
    assert info.error == {"type": "LostTooOften", "message": f"its process {reason}, 2 times"}
    assert (tmp_path / "log").read_text() == "xx"
    losses = await app.jobs.history(job_id)
    assert [(event["what"], event["counted"], event["reason"]) for event in losses] == [
        ("lost", True, f"its process {reason}")
    ] * 2
    await assert_conserved(app.database)


async def test_a_child_that_died_once_is_a_loss_and_the_job_runs_again(app: Holdfast, tmp_path: Path) -> None:
    job_id = await tasks.die.enqueue("once", str(tmp_path / "log"))
    async with working(app):
        assert await app.jobs.result(job_id, timeout_seconds=30) == "survived"


async def test_a_death_counts_once_even_if_the_worker_dies_before_the_job_has_left(
    app: Holdfast, outsider: Any, tmp_path: Path
) -> None:
    from holdfast.jobs import count_loss
    from tests.rooms.jobs.hand import Hand

    job_id = await tasks.die.enqueue("kill", str(tmp_path / "log"))
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    assert await count_loss(app.database, claimed, "by the test", counted=True) == (1, 1)
    assert await count_loss(app.database, claimed, "by the test", counted=True) == (1, 1)
    assert await hand.die() == 1
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.loss WHERE job_id = $1", job_id) == 1
    assert await count_loss(app.database, claimed, "too late", counted=True) is None
    await assert_conserved(app.database)


async def test_a_memory_ceiling_ends_the_child_and_counts_as_a_loss(app: Holdfast) -> None:
    small, big = await tasks.take_memory.enqueue(8), await tasks.take_memory.enqueue(512)
    async with working(app, max_losses=2):
        assert await app.jobs.result(small, timeout_seconds=30) == 8 * 1024 * 1024
        info = await app.jobs.wait(big, timeout_seconds=30)
    assert info.error == {
        "type": "LostTooOften",
        "message": "it ran out of memory: its ceiling is 64 MiB, 2 times",
    }


async def test_a_cancel_interrupts_the_handler_where_it_is(app: Holdfast, tmp_path: Path) -> None:
    file = tmp_path / "log"
    job_id = await tasks.wait_for_ever.enqueue(str(file))
    async with working(app):
        await eventually(file.exists)
        await app.jobs.cancel(job_id, reason="enough")
        info = await app.jobs.wait(job_id, timeout_seconds=30)
    assert (info.state, info.error) == ("cancelled", {"type": "Cancelled", "message": "enough"})
    assert file.read_text() == "cleaned up"


async def test_a_handler_that_swallows_the_interruption_is_killed(app: Holdfast, tmp_path: Path) -> None:
    file = tmp_path / "log"
    job_id = await tasks.wait_for_ever.options(timeout_seconds=300).enqueue(str(file), stubborn=True)
    async with working(app) as worker:
        worker._executors.of(tasks.wait_for_ever)._grace_seconds = 0.2  # type: ignore[attr-defined]
        await eventually(file.exists)
        await app.jobs.cancel(job_id)
        info = await app.jobs.wait(job_id, timeout_seconds=30)
    assert info.state == "cancelled"


async def test_a_timeout_kills_the_child(app: Holdfast, tmp_path: Path) -> None:
    job_id = await tasks.wait_for_ever.options(timeout_seconds=1.5, max_attempts=1).enqueue(str(tmp_path / "log"))
    async with working(app):
        info = await app.jobs.wait(job_id, timeout_seconds=30)
    assert info.error is not None
    assert (info.state, info.error["type"]) == ("failed", "JobTimeout")
    assert "its process was killed" in info.error["message"]


async def test_children_of_the_child_die_with_it(app: Holdfast, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    job_id = await tasks.start_another.enqueue(str(file))
    async with working(app):
        await eventually(lambda: file.exists() and file.read_text() != "")
        await app.jobs.cancel(job_id)
        await app.jobs.wait(job_id, timeout_seconds=30)
        await eventually(lambda: not is_running(int(file.read_text())))


async def test_the_soft_timeout_is_seen_by_the_handler(app: Holdfast) -> None:
    job_id = await tasks.until_late.enqueue()
    async with working(app):
        assert await app.jobs.result(job_id, timeout_seconds=30) == "stopped in time"


async def test_at_the_end_of_the_worker_a_running_job_goes_back_and_no_child_is_left(
    app: Holdfast, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    job_id = await tasks.wait_for_ever.enqueue(str(file))
    async with working(app, shutdown_soft_seconds=0.0) as worker:
        await eventually(file.exists)
        executor: Any = worker._executors.of(tasks.wait_for_ever)
        pids = [child._process.pid for child in (*executor._idle, *executor._running.values())]
    assert (await app.jobs.show(job_id)).state == "ready"
    assert file.read_text() == "cleaned up"
    assert pids
    assert [pid for pid in pids if is_running(pid)] == []


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
