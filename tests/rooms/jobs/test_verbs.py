"""Editing, moving and deleting jobs, one by one and by filter."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.db import Statement
from holdfast.errors import ArgumentsInvalid, ConfigurationError, IllegalMove, JobNotFound, TaskUnknown
from holdfast.jobs import Verb
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.waiting import eventually

CANCEL_REQUESTED = Statement(
    "cancel_requested", "SELECT exists (SELECT FROM holdfast.cancel_request WHERE job_id = $1)"
)


_SAID_BESIDE = {
    "job_edit": "(job_id, edited_at) VALUES ($1, now())",
    "attempt_link": "VALUES ($1, 1, 1, 'engine', 'name', NULL, now())",
    "progress": "VALUES ($1, 1, 1, NULL, NULL, now())",
    "checkpoint": "VALUES ($1, 1, '1', now())",
    "job_log": "VALUES ($1, 1, 1, 1, now(), 20, 'logger', 'line')",
    "batch_member": "(batch_id, job_id) VALUES (1, $1)",
    "batch_callback": "(batch_id, job_id) VALUES (1, $1)",
}
"""Side rows of a job, by their table."""


@pytest.fixture
def send(app: Holdfast) -> Any:
    @app.task(queue="mail")
    async def send(user_id: int, language: str = "en") -> None: ...

    return send


# --- edit


async def test_edited_arguments_are_what_the_next_claim_reads_and_the_old_ones_are_kept(
    app: Holdfast, send: Any
) -> None:
    job_id = await send.enqueue(42, "de")
    await app.jobs.edit(job_id, {"user_id": 43}, reason="typo")
    assert (await app.jobs.show(job_id)).args == {"user_id": 43, "language": "de"}
    claimed = await (await Hand.registered(app.database, "mail")).claim_one()
    assert send.signature.load(claimed.args) == {"user_id": 43, "language": "de"}
    (event,) = await app.jobs.history(job_id)
    assert (event["what"], event["reason"], event["args"]) == ("edited", "typo", {"user_id": 42, "language": "de"})


async def test_a_failed_job_is_edited_and_then_retried(app: Holdfast, send: Any) -> None:
    job_id = await send.enqueue(42)
    hand = await Hand.registered(app.database, "mail")
    await hand.fail(await hand.claim_one())
    await app.jobs.edit(job_id, {"user_id": 1}, replace=True)
    await app.jobs.retry(job_id)
    assert send.signature.load((await hand.claim_one()).args) == {"user_id": 1}


async def test_arguments_that_do_not_fit_the_signature_change_nothing(app: Holdfast, send: Any) -> None:
    job_id = await send.enqueue(42)
    with pytest.raises(ArgumentsInvalid, match="user_id"):
        await app.jobs.edit(job_id, {"user_id": "nobody"})
    with pytest.raises(ArgumentsInvalid, match="color: is not a parameter"):
        await app.jobs.edit(job_id, {"color": "red"})
    assert (await app.jobs.show(job_id)).args == {"user_id": 42}
    assert await app.jobs.history(job_id) == []


async def test_a_task_that_is_not_known_is_edited_only_unchecked(app: Holdfast) -> None:
    job_id = await app.jobs.enqueue_by_name("elsewhere", {"a": 1}, queue="mail")
    with pytest.raises(TaskUnknown, match="cannot be checked"):
        await app.jobs.edit(job_id, {"a": 2})
    await app.jobs.edit(job_id, {"a": 2}, unchecked=True)
    assert (await app.jobs.show(job_id)).args == {"a": 2}


async def test_a_job_that_runs_or_is_unknown_is_not_edited(app: Holdfast, send: Any) -> None:
    job_id = await send.enqueue(42)
    await (await Hand.registered(app.database, "mail")).claim_one()
    with pytest.raises(IllegalMove, match=r"is running and cannot be edited\n.*: cancel"):
        await app.jobs.edit(job_id, {"user_id": 1})
    with pytest.raises(JobNotFound):
        await app.jobs.edit(17, {"user_id": 1})


async def test_while_an_edit_is_open_no_claim_takes_the_job(app: Holdfast, send: Any, outsider: Any) -> None:
    job_id, other = await send.enqueue(42), await send.enqueue(7)
    hand = await Hand.registered(app.database, "mail")
    async with outsider.transaction():
        answer = await outsider.fetchval(
            "SELECT holdfast.edit_v1($1, '{\"user_id\": 42}', '{\"user_id\": 43}', NULL)", job_id
        )
        assert answer == "moved"
        assert [claimed.id for claimed in await hand.claim()] == [other]
    (claimed,) = await hand.claim()
    assert send.signature.load(claimed.args) == {"user_id": 43}


async def test_an_edit_of_arguments_that_somebody_changed_meanwhile_starts_from_the_new_ones(
    app: Holdfast, send: Any, outsider: Any
) -> None:
    job_id = await send.enqueue(42)
    edit = "SELECT holdfast.edit_v1($1, '{\"user_id\": 1}', '{}', NULL)"
    assert await outsider.fetchval(edit, job_id) == "changed"
    await asyncio.gather(
        app.jobs.edit(job_id, {"user_id": 1}), app.jobs.edit(job_id, {"language": "fr"}), app.jobs.edit(job_id, {})
    )
    assert (await app.jobs.show(job_id)).args == {"user_id": 1, "language": "fr"}


# --- reschedule and prioritize


async def test_a_job_runs_at_another_time(app: Holdfast, send: Any, outsider: Any) -> None:
    ready, later = await send.enqueue(1), await send.options(run_in="1h").enqueue(2)
    moment = datetime.now(UTC) + timedelta(days=2)
    assert await app.jobs.reschedule(ready, later, 17, run_at=moment) == {
        ready: "moved",
        later: "moved",
        17: "unknown",
    }
    assert [(await app.jobs.show(job_id)).due_at for job_id in (ready, later)] == [moment, moment]
    assert await app.jobs.reschedule(later, run_in=0) == {later: "moved"}
    assert (await app.jobs.show(later)).state == "ready"
    for wrong in ({}, {"run_in": 1, "run_at": moment}, {"run_at": moment.replace(tzinfo=None)}):
        with pytest.raises(ConfigurationError):
            await app.jobs.reschedule(ready, **wrong)
    await assert_conserved(app.database)


async def test_a_priority_changes_the_order_of_claims_and_survives_a_loss(app: Holdfast, send: Any) -> None:
    first, second = await send.enqueue(1), await send.enqueue(2)
    assert await app.jobs.prioritize(second, priority=1) == {second: "moved"}
    hand = await Hand.registered(app.database, "mail")
    assert [claimed.id for claimed in await hand.claim()] == [second, first]
    await hand.die()
    assert (await app.jobs.show(second)).priority == 1
    (event,) = [event for event in await app.jobs.history(second) if event["what"] == "edited"]
    assert event["priority"] == 5
    assert await app.jobs.cancel(second) == {second: "cancelled"}


async def test_a_verb_on_a_place_that_somebody_holds_says_so_and_works_afterwards(
    app: Holdfast, send: Any, outsider: Any
) -> None:
    job_id = await send.options(unique="a").enqueue(1)
    async with outsider.transaction():
        assert await send.options(unique="a").using(outsider).enqueue(2) == job_id
        assert await app.jobs.prioritize(job_id, priority=1) == {job_id: "held"}
        with pytest.raises(IllegalMove, match="is held by somebody else"):
            await app.jobs.edit(job_id, {"user_id": 1})
    assert await app.jobs.prioritize(job_id, priority=1) == {job_id: "moved"}
    await assert_conserved(app.database)


# --- purge


async def test_a_purge_leaves_nothing_of_a_job_and_the_counters_stay_right(
    app: Holdfast, send: Any, outsider: Any
) -> None:
    ready, failed, running = await send.options(unique="a").enqueue(1), await send.enqueue(2), await send.enqueue(3)
    hand = await Hand.registered(app.database, "mail")
    one, two, three = await hand.claim()
    await hand.give_back(one)
    await hand.fail(two)
    for table, values in _SAID_BESIDE.items():
        await outsider.execute(f"INSERT INTO holdfast.{table} {values}", failed)
    assert await app.jobs.purge(ready, failed, running, 17) == {
        ready: "purged",
        failed: "purged",
        running: "running",
        17: "unknown",
    }
    with pytest.raises(JobNotFound):
        await app.jobs.show(failed)
    await assert_conserved(app.database)
    again = await send.options(unique="a").enqueue(1)
    assert again != ready
    assert not again.existing, "the key is free"
    assert await hand.complete(three) == [], "the others of its lease are not disturbed"
    await assert_conserved(app.database)
    for table in ("failed_attempt", "loss", "cancel_request", *_SAID_BESIDE):
        assert await outsider.fetchval(f"SELECT count(*) FROM holdfast.{table} WHERE job_id = $1", failed) == 0, table
    # Two of the four are unfinished or gone: enqueued 4, completed 1, failed 1, cancelled (purged while waiting) 1.
    await outsider.execute("SET holdfast.clock_offset = '70 seconds'")
    await outsider.fetchval("SELECT holdfast.fold_v1()")
    await outsider.execute("SET holdfast.clock_offset = '140 seconds'")
    await outsider.fetchval("SELECT holdfast.fold_v1()")
    await outsider.fetchval("SELECT holdfast.fold_v1()")
    row = await outsider.fetchrow("SELECT * FROM holdfast.tally WHERE queue = 'mail' AND minute = '-infinity'")
    assert (row["enqueued"], row["completed"], row["failed"], row["cancelled"]) == (4, 1, 1, 1)


async def test_a_result_that_comes_after_its_job_was_purged_is_refused(app: Holdfast, send: Any) -> None:
    await send.enqueue(1)
    hand = await Hand.registered(app.database, "mail")
    claimed = await hand.claim_one()
    await hand.fail(claimed)
    assert (await app.jobs.purge(claimed.id))[claimed.id] == "purged"
    assert await hand.complete(claimed, again=True) == [claimed.id]
    await assert_conserved(app.database)


# --- by filter


async def test_a_filter_finds_jobs_in_every_place(app: Holdfast, send: Any) -> None:
    @app.task(queue="mail")
    async def other(name: str) -> None: ...

    running, failed = await send.enqueue(1), await send.enqueue(2)
    hand = await Hand.registered(app.database, "mail")
    _, second = await hand.claim()
    await hand.fail(second)
    ready = await other.options(priority=2, unique="k").enqueue("Ada Lovelace")
    later = await other.options(run_in="1h").enqueue("Bob")

    async def find(text: str) -> set[int]:
        return set(await app.jobs.where(text).ids())

    everything = {running, failed, ready, later}
    assert await find("") == everything
    assert await find("state=running") == {running}
    assert await find("task=send state!=failed") == {running}
    assert await find("queue=mail,post task~OTH") == {ready, later}
    assert await find("error=Broken") == await find("error~'by the test'".replace("'", '"')) == {failed}
    assert await find("error!~broken") == everything - {failed}
    assert await find('args.name~lovelace args.name="Ada Lovelace"') == {ready}
    assert await find("args.user_id=2") == {failed}
    assert await find("priority<5") == await find("key=other:k") == {ready}
    assert await find("priority=5 state=scheduled,ready") == {later}
    assert await find("due<2h") == {later}
    assert await find("due>2h") == set()
    assert await find("age<1h") == everything
    assert await find("age>1h") == set()
    assert await find("ended<1h attempt=1") == {failed}
    assert await find(f"id={ready},{later} id!={later}") == {ready}
    listed = await app.jobs.list(where="args.name~a", state="ready", queue="mail", task="other")
    assert [info.id for info in listed] == [ready]


async def test_a_preview_says_what_a_verb_would_take_and_takes_nothing(app: Holdfast, send: Any) -> None:
    await send.enqueue_many([(n,) for n in range(5)])
    hand = await Hand.registered(app.database, "mail")
    one, two, *_ = await hand.claim(3)
    await hand.fail(one, two)
    preview = await app.jobs.where("queue=mail").preview(Verb.PURGE)
    assert (preview.jobs, preview.is_exact) == (4, True)
    groups = {(group.state, group.task, group.error_type): group.jobs for group in preview.groups}
    assert groups == {("failed", "send", "Broken"): 2, ("ready", "send", None): 2}
    small = await app.jobs.where("queue=mail").preview(count_up_to=2)
    assert (small.jobs, small.is_exact) == (2, False)
    assert len(await app.jobs.where("").ids()) == 5


async def test_verbs_move_all_that_a_filter_finds_and_nothing_else(app: Holdfast, send: Any) -> None:
    await send.enqueue_many([(n,) for n in range(1200)])
    kept = await send.options(queue="post").enqueue(1)
    assert await app.jobs.where("queue=mail").prioritize(7) == {"moved": 1200}
    assert await app.jobs.where("queue=mail priority=7").reschedule(run_in="1h") == {"moved": 1200}
    assert await app.jobs.where("queue=mail args.user_id=3").cancel(reason="no") == {"cancelled": 1}
    assert await app.jobs.where("queue=mail state=scheduled").purge() == {"purged": 1199}
    left = Counter(info.state for info in await app.jobs.list(limit=2000))
    assert left == {"ready": 1, "cancelled": 1}
    assert (await app.jobs.show(kept)).state == "ready"
    await assert_conserved(app.database)


async def test_dead_letters_are_driven_again_cancelled_ones_only_when_told(app: Holdfast, send: Any) -> None:
    await send.options(unique="a").enqueue(1)
    await send.enqueue(2)
    gone = await send.enqueue(3)
    hand = await Hand.registered(app.database, "mail")
    await app.jobs.cancel(gone)
    await hand.fail(*await hand.claim())
    selection = app.jobs.where("queue=mail ended<1h")
    assert await selection.redrive() == {"moved": 2}
    assert await selection.redrive() == {}
    assert await selection.redrive(cancelled=True) == {"moved": 1}
    assert len(await hand.claim()) == 3
    await assert_conserved(app.database)


# --- a cancel and an operator's retry


async def test_a_cancel_waits_for_an_open_retry_and_ends_the_job(
    app: Holdfast, send: Any, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.jobs.console._PATIENCE_SECONDS", (0.01,) * 1000)
    job_id = await send.options(run_in="1h").enqueue(1)
    retrying = outsider.transaction()
    await retrying.start()
    assert await outsider.fetchval("SELECT holdfast.retry_v1($1)", job_id) == "moved"
    cancelling = asyncio.create_task(app.jobs.cancel(job_id))
    await eventually(lambda: app.database.fetchval(CANCEL_REQUESTED, job_id))
    await retrying.commit()
    assert await cancelling == {job_id: "cancelled"}
    assert (await app.jobs.show(job_id)).state == "cancelled"


async def test_a_cancel_that_cannot_wait_any_longer_takes_effect_at_the_claim(
    app: Holdfast, send: Any, outsider: Any
) -> None:
    job_id = await send.options(run_in="1h").enqueue(1)
    async with outsider.transaction():
        await outsider.fetchval("SELECT holdfast.retry_v1($1)", job_id)
        assert await app.jobs.cancel(job_id) == {job_id: "requested"}
    info = await app.jobs.show(job_id)
    assert (info.state, info.cancel_requested) == ("ready", True)
    assert await (await Hand.registered(app.database, "mail")).claim() == []
    assert (await app.jobs.show(job_id)).state == "cancelled"
