"""Why a job does not run: every reason is brought about on a real server and told with its owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast, Job, Limit, Rate
from holdfast.db import load_statements
from holdfast.errors import JobNotFound
from holdfast.jobs import Place, Reason, Retry, declare_tasks
from holdfast.jobs.reasons import (
    HeldByTransaction,
    InLine,
    LaneHeld,
    NoWorkerListens,
    QueuePaused,
    RateSpent,
    Running,
    SlotsFull,
    WorkersBusy,
)
from holdfast.jobs.why import judge
from tests.rooms.jobs.hand import Hand, admit
from tests.rooms.working import working
from tests.waiting import eventually


async def reasons(app: Holdfast, job_id: int) -> list[Reason]:
    return list((await app.jobs.why(job_id)).reasons)


async def codes(app: Holdfast, job_id: int) -> list[str]:
    return [reason.code for reason in await reasons(app, job_id)]


@asynccontextmanager
async def at(outsider: Any, offset: str) -> AsyncIterator[Any]:
    """A connection for which it is later."""
    await outsider.execute(f"SET holdfast.clock_offset = '{offset}'")
    yield outsider
    await outsider.execute("RESET holdfast.clock_offset")


async def test_nobody_listens_and_the_nearest_queue_is_named(app: Holdfast) -> None:
    @app.task(queue="mail")
    async def send() -> None: ...

    job_id = await send.enqueue()
    (nobody,) = await reasons(app, job_id)
    assert isinstance(nobody, NoWorkerListens)
    assert nobody.text == 'no worker listens to queue "mail": no worker is live'
    await Hand.registered(app.database, "mails")
    await Hand.registered(app.database, "exports")
    (wrong,) = await reasons(app, job_id)
    assert isinstance(wrong, NoWorkerListens)
    assert wrong.nearest_queue == "mails"
    assert wrong.text == 'no worker listens to queue "mail" (did you mean "mails"? worker by hand on here does)'
    assert (await app.jobs.why(job_id)).text.startswith('ready: no worker listens to queue "mail" (did')


async def test_a_paused_queue_is_named_with_who_and_why_beside_other_reasons(app: Holdfast) -> None:
    @app.task(queue="mail")
    async def send() -> None: ...

    job_id = await send.enqueue()
    await app.queues.pause("mail", reason="provider down", by="ann@ops")
    paused, nobody = await reasons(app, job_id)
    assert isinstance(paused, QueuePaused)
    assert (paused.by, paused.reason, paused.remedy) == ("ann@ops", "provider down", "holdfast queue resume mail")
    assert paused.text.startswith('queue "mail" is paused since ')
    assert paused.text.endswith(" by ann@ops: provider down")
    assert nobody.code == "no_worker_listens"
    assert "\n  also: no worker listens" in (await app.jobs.why(job_id)).text


async def test_running_names_the_worker_and_the_usual_duration(app: Holdfast) -> None:
    go_on = asyncio.Event()

    @app.task
    async def work(wait: bool = False) -> None:  # noqa: FBT001, FBT002
        if wait:
            await go_on.wait()

    for _ in range(3):
        await work.enqueue()
    await app.drain()
    async with working(app, name="w-3") as worker:
        job_id = await work.enqueue(wait=True)
        await eventually(lambda: worker.in_hand == 1)
        (running,) = await reasons(app, job_id)
        assert isinstance(running, Running)
        assert (running.worker.id, running.worker.name) == (worker.id, "w-3")
        assert running.usual_seconds is not None
        assert 0 <= running.usual_seconds < 1
        assert (await app.jobs.why(job_id)).text.startswith("running ")
        await app.jobs.cancel(job_id, reason="stuck")

        async def ended() -> bool:
            return (await app.jobs.show(job_id)).state == Place.CANCELLED

        await eventually(ended)
    (finished,) = await reasons(app, job_id)
    assert finished.code == "finished"
    assert finished.text.startswith("cancelled ")
    assert "stuck" in finished.text


async def test_a_retry_is_due_later_because_of_its_error(app: Holdfast) -> None:
    @app.task(retry=Retry(delay_seconds=3600, jitter=0.0))
    async def fails() -> None:
        raise OSError("no route")

    job_id = await fails.enqueue()
    await app.drain(horizon_seconds=1)
    (later,) = await reasons(app, job_id)
    assert later.code == "due_later"
    assert later.text.startswith("due in 60 min, at ")
    assert later.text.endswith(": attempt 2, after OSError")


async def test_what_is_due_and_not_promoted_is_said(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.options(run_in=60).enqueue()
    assert await codes(app, job_id) == ["due_later"]
    async with at(outsider, "2 hours"):
        row = await outsider.fetchrow(_statement(), job_id)
        facts = {**dict(row), "workers": None, "lockers": None, "error": None, "gate_holders": None}
        (reason,) = judge(job_id, facts)
    assert reason.code == "not_promoted"
    assert reason.text.startswith("due since 119 min: no worker is live")


async def test_workers_that_are_busy_are_named_with_what_is_ahead(app: Holdfast) -> None:
    go_on = asyncio.Event()

    @app.task
    async def work() -> None:
        await go_on.wait()

    async with working(app, concurrency=1, max_prefetch=0, prefetch_seconds=0.0, name="w-1") as worker:
        first = await work.enqueue()
        await eventually(lambda: worker.in_hand == 1)
        second, third = await work.enqueue(), await work.enqueue()

        async def told() -> bool:
            (busy,) = await reasons(app, third)
            return isinstance(busy, WorkersBusy) and (busy.ahead, busy.running, busy.concurrency) == (1, 1, 1)

        await eventually(told)
        (busy,) = await reasons(app, second)
        assert busy.text.startswith("w-1 on ")
        assert busy.text.endswith("run 1 jobs of 1 at a time; no job is before it")
        go_on.set()
        await app.jobs.wait(third)
    assert first < second < third


async def test_a_worker_with_room_is_about_to_take_it(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    await Hand.registered(app.database)
    await work.enqueue()
    job_id = await work.enqueue()
    (line,) = await reasons(app, job_id)
    assert isinstance(line, InLine)
    assert (line.ahead, line.ahead_is_exact) == (1, True)
    assert "by hand on here listens and has room; 1 job is before it" in line.text


@pytest.mark.parametrize("holders", [1, 2])
async def test_an_open_transaction_that_holds_it_is_named(app: Holdfast, database_url: str, holders: int) -> None:
    @app.task
    async def refresh() -> None: ...

    await Hand.registered(app.database)
    request = refresh.options(unique="k")
    job_id = await request.enqueue()
    sessions = [
        await asyncpg.connect(database_url, server_settings={"application_name": f"shop {n}"}) for n in range(holders)
    ]
    for session in sessions:
        await session.execute("BEGIN")
        assert await request.using(session).enqueue() == job_id
    held = await reasons(app, job_id)
    assert [type(reason) for reason in held] == [HeldByTransaction] * holders
    assert {reason.pid for reason in held if isinstance(reason, HeldByTransaction)} == {
        session.get_server_pid() for session in sessions
    }
    assert "held by the open transaction of shop 0 (pid" in held[0].text
    assert "idle in transaction, open for" in held[0].text
    for session in sessions:
        await session.execute("ROLLBACK")
        await session.close()
    assert await codes(app, job_id) == ["in_line"]


async def test_a_suspect_waits_for_the_one_before_it(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    ids = await work.enqueue_many([(), ()])
    first = await Hand.registered(app.database)
    await first.claim()
    await first.die()
    second = await Hand.registered(app.database)
    await second.claim()
    await outsider.execute("UPDATE holdfast.worker_beat SET running = $2 WHERE worker = $1", second.worker, [ids[0]])
    await outsider.execute("UPDATE holdfast.lease SET claimed_at = claimed_at - interval '1 minute'")
    (running,) = await reasons(app, ids[0])
    assert running.code == "running"
    (suspect,) = await reasons(app, ids[1])
    assert suspect.code == "quarantined"
    assert f"one suspect at a time, behind job {ids[0]}" in suspect.text


async def test_a_job_claimed_ahead_and_one_asked_to_be_cancelled_are_told(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    await outsider.execute("UPDATE holdfast.lease SET claimed_at = claimed_at - interval '1 minute'")
    await app.jobs.cancel(job_id, reason="not needed")
    assert await codes(app, job_id) == ["claimed_ahead", "cancel_requested"]
    assert (await reasons(app, job_id))[1].text == "asked to be cancelled (not needed): its handler has not stopped yet"
    await hand.complete(claimed)
    assert await codes(app, job_id) == ["finished"]


async def test_it_reads_only_and_says_when_the_server_does_too(app: Holdfast, outsider: Any) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    async with outsider.transaction(readonly=True):
        row = dict(await outsider.fetchrow(_statement(), job_id))
    found = judge(job_id, {**row, "workers": None, "lockers": None, "error": None, "gate_holders": None})
    assert [reason.code for reason in found] == ["server_read_only", "no_worker_listens"]
    assert found[0].text == "the server accepts no writes: nothing can be claimed here"


async def test_an_unknown_job_is_an_error_and_the_answer_is_plain_data(app: Holdfast) -> None:
    @app.task
    async def work(job: Job) -> None: ...

    with pytest.raises(JobNotFound):
        await app.jobs.why(1)
    answer = (await app.jobs.why(await work.enqueue())).as_dict()
    assert answer["place"] == "ready"
    assert answer["reasons"][0]["code"] == "no_worker_listens"
    assert answer["reasons"][0]["remedy"].startswith("start one")


def _statement() -> str:
    return load_statements("holdfast.jobs", "why.sql")["why"].sql


async def test_a_lane_names_the_job_that_holds_it_and_where_it_stands(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    lane = work.options(lane="user-42")
    first, second, third = [await lane.enqueue() for _ in range(3)]
    assert await codes(app, first) == ["not_admitted", "no_worker_listens"]
    hand = await Hand.registered(app.database)
    await admit(app)
    claimed = await hand.claim_one()
    assert claimed.id == first
    held, behind = (await reasons(app, second))[0], (await reasons(app, third))[0]
    assert isinstance(held, LaneHeld)
    assert (held.lane, held.holder.job, held.holder.place, held.ahead) == ("user-42", first, "running", 0)
    assert (await app.jobs.why(second)).text.startswith(f'blocked: lane "user-42" is held by job {first} (running ')
    assert behind.text.endswith("; 1 job is before it")
    assert held.remedy == f"holdfast job why {first}"
    await hand.retry_later(claimed)
    (held,) = await reasons(app, second)
    assert f"is held by job {first} (scheduled, due in 60 min)" in held.text


async def test_a_limit_names_who_holds_its_slots_and_a_rate_when_it_opens(app: Holdfast) -> None:
    @app.task(limits=[Limit("tenant", 2, by="tenant")])
    async def work(tenant: str) -> None: ...

    @app.task(rate=Rate(1, per="1h", name="api"))
    async def call() -> None: ...

    await declare_tasks(app.database, app.tasks.values())
    hand = await Hand.registered(app.database, "default")
    one, two, three = [await work.enqueue("a") for _ in range(3)]
    await admit(app)
    await hand.claim()
    (full,) = await reasons(app, three)
    assert isinstance(full, SlotsFull)
    assert (full.limit, full.key, full.capacity, full.taken) == ("tenant", "a", 2, 2)
    assert [holder.job for holder in full.holders] == [one, two]
    assert full.text.startswith(f'limit "tenant" for "a": 2 of 2 slots are held by job {one} (running ')
    _, late = await call.enqueue(), await call.enqueue()
    await admit(app)
    (spent,) = await reasons(app, late)
    assert isinstance(spent, RateSpent)
    assert spent.text.startswith('rate "api": 1 in 60 min have started, opens in ')
    await app.queues.pause("default", reason="provider down")
    assert await codes(app, three) == ["slots_full", "queue_paused"]
