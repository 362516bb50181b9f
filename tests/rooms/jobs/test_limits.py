"""Limits and rates: how many jobs run at once or start within a time, per key, several on one job, shared fairly."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast, Limit, Rate
from holdfast.db import Statement
from holdfast.errors import ArgumentsInvalid, ConfigurationError
from holdfast.jobs import Gatekeeper, declare_tasks
from tests.rooms.jobs.hand import Hand, admit, assert_conserved, assert_gates_kept

_GATES = Statement("gates", "SELECT gates FROM holdfast.job WHERE id = $1::bigint")


async def declared(app: Holdfast) -> Hand:
    """The limits of the app are known to the database, and a worker listens."""
    await declare_tasks(app.database, app.tasks.values())
    return await Hand.registered(app.database)


async def standing(app: Holdfast, *jobs: int) -> list[str]:
    return [(await app.jobs.show(job)).state for job in jobs]


async def test_no_more_run_at_once_than_the_limit_says(app: Holdfast) -> None:
    @app.task(limits=[Limit("api", 3)])
    async def call() -> None: ...

    hand = await declared(app)
    jobs = await call.enqueue_many([()] * 8)
    await admit(app)
    claimed = await hand.claim()
    assert [job.id for job in claimed] == jobs[:3]
    await hand.complete(claimed[0], claimed[1])
    await admit(app, claimed[0].id, claimed[1].id)
    assert [job.id for job in await hand.claim()] == jobs[3:5]
    assert await standing(app, *jobs[5:]) == ["blocked"] * 3
    await assert_gates_kept(app.database)
    await assert_conserved(app.database)


async def test_where_nothing_waits_a_look_asks_for_no_other_soon(app: Holdfast) -> None:
    keeper = Gatekeeper(app.database)
    queues, pause_seconds = await keeper.look()
    assert (queues, pause_seconds) == ([], 0.25)


async def test_tasks_that_name_the_same_limit_share_it(app: Holdfast) -> None:
    api = Limit("api", 1)

    @app.task(limits=[api])
    async def one() -> None: ...

    @app.task(limits=[api])
    async def two() -> None: ...

    await declared(app)
    jobs = [await one.enqueue(), await two.enqueue()]
    await admit(app)
    assert await standing(app, *jobs) == ["ready", "blocked"]


async def test_a_limit_by_key_counts_each_key_alone(app: Holdfast) -> None:
    @app.task(limits=[Limit("tenant", 2, by="tenant")])
    async def work(tenant: str, n: int = 0) -> None: ...

    hand = await declared(app)
    await work.enqueue_many([(tenant, n) for tenant in ("a", "b") for n in range(3)])
    await admit(app)
    tenants = [(await app.jobs.show(job.id)).args["tenant"] for job in await hand.claim()]
    assert tenants == ["a", "a", "b", "b"]
    await assert_gates_kept(app.database)


async def test_a_retry_gives_its_slot_back_until_it_is_due(app: Holdfast) -> None:
    @app.task(limits=[Limit("api", 1)])
    async def call() -> None: ...

    hand = await declared(app)
    first, second = await call.enqueue_many([(), ()])
    await admit(app)
    await hand.retry_later(await hand.claim_one())
    await admit(app, first)
    assert await standing(app, first, second) == ["scheduled", "ready"]
    await app.jobs.retry(first)
    await admit(app)
    assert await standing(app, first, second) == ["blocked", "ready"]
    await assert_gates_kept(app.database)


@pytest.mark.parametrize("way", ["complete", "fail", "cancel ready", "rescue", "lost too often", "own transaction"])
async def test_a_slot_goes_with_the_lease_whatever_ends_it(app: Holdfast, outsider: Any, way: str) -> None:
    @app.task(limits=[Limit("api", 1)])
    async def call() -> None: ...

    hand = await declared(app)
    first, second = await call.enqueue_many([(), ()])
    await admit(app)
    if way == "cancel ready":
        await app.jobs.cancel(first)
    else:
        claimed = await hand.claim_one()
        if way == "complete":
            await hand.complete(claimed)
        elif way == "fail":
            await hand.fail(claimed)
        elif way == "own transaction":
            await outsider.execute(
                "SELECT holdfast.finish_solo_v1($1, $2, 1::smallint, 0, NULL, 'default', 8::smallint)",
                claimed.lease,
                first,
            )
        else:
            if way == "lost too often":
                await outsider.execute("INSERT INTO holdfast.loss VALUES ($1, 1, now(), true)", first)
            await hand.die(max_losses=1 if way == "lost too often" else 3)
    assert await outsider.fetchval("SELECT count(*) FROM holdfast.slot") == 0
    await Hand.registered(app.database)
    await admit(app, first, sweep=True)
    states = await standing(app, first, second)
    assert sorted(states) == sorted(["ready", "blocked"] if way == "rescue" else ["ready", states[0]])
    await assert_gates_kept(app.database)
    await assert_conserved(app.database)


async def test_several_limits_are_taken_all_or_none(app: Holdfast, outsider: Any) -> None:
    """Who waits for one gate holds nothing of another."""

    @app.task(limits=[Limit("a", 1), Limit("b", 5)])
    async def both() -> None: ...

    @app.task(limits=[Limit("b", 5)])
    async def only_b() -> None: ...

    hand = await declared(app)
    jobs = await both.enqueue_many([()] * 4)
    plain = await only_b.enqueue_many([()] * 6)
    for _ in range(3):
        await admit(app, *jobs, *plain)
    slots = await outsider.fetch("SELECT gate, count(*) FROM holdfast.slot GROUP BY gate ORDER BY gate")
    assert [tuple(row) for row in slots] == [("limit:a:", 1), ("limit:b:", 5)]
    assert await standing(app, *jobs) == ["ready", "blocked", "blocked", "blocked"]
    done = 0
    while claimed := await hand.claim():
        done += len(claimed)
        await hand.complete(*claimed)
        await assert_gates_kept(app.database)
        for _ in range(3):
            await admit(app, *[job.id for job in claimed])
    assert done == 10
    await assert_conserved(app.database)


async def test_a_lane_and_a_limit_go_together(app: Holdfast) -> None:
    @app.task(limits=[Limit("api", 2)])
    async def call(n: int) -> None: ...

    hand = await declared(app)
    for n in range(3):
        for lane in "abc":
            await call.options(lane=lane).enqueue(n)
    order: list[tuple[str, int]] = []
    for _ in range(20):
        await admit(app, sweep=True)
        claimed = await hand.claim()
        assert len(claimed) <= 2
        order += [(await _lane(app, job.id), (await app.jobs.show(job.id)).args["n"]) for job in claimed]
        await assert_gates_kept(app.database)
        await hand.complete(*claimed)
    assert [[n for lane, n in order if lane == mine] for mine in "abc"] == [[0, 1, 2]] * 3


async def _lane(app: Holdfast, job: int) -> str:
    gates = await app.database.fetch(_GATES, job)
    return str(gates[0][0]).partition("\n")[0].removeprefix("lane:")


async def test_a_limited_job_never_blocks_the_head_of_the_queue(app: Holdfast) -> None:
    @app.task(limits=[Limit("api", 1)])
    async def limited() -> None: ...

    @app.task
    async def free() -> None: ...

    hand = await declared(app)
    await limited.options(priority=0).enqueue_many([()] * 500)
    behind = await free.enqueue()
    await admit(app)
    assert [job.id for job in await hand.claim(2)][1] == behind


async def test_a_queue_that_is_paused_takes_no_slots_of_a_limit_that_others_share(app: Holdfast) -> None:
    api = Limit("api", 2)

    @app.task(limits=[api], queue="paused")
    async def waits() -> None: ...

    @app.task(limits=[api])
    async def goes() -> None: ...

    await declare_tasks(app.database, app.tasks.values())
    await Hand.registered(app.database, "default", "paused")
    await app.queues.pause("paused")
    first = await waits.enqueue_many([()] * 5)
    second = await goes.enqueue_many([()] * 2)
    await admit(app)
    await admit(app, sweep=True)
    assert await standing(app, *second) == ["ready", "ready"]
    await app.queues.resume("paused")
    await app.jobs.cancel(*second)
    await admit(app, sweep=True)
    assert await standing(app, *first) == ["ready", "ready", "blocked", "blocked", "blocked"]


async def test_a_rate_lets_so_many_start_within_its_window(app: Holdfast, outsider: Any) -> None:
    @app.task(rate=Rate(3, per="1m"))
    async def send() -> None: ...

    hand = await declared(app)
    await send.enqueue_many([()] * 8)
    await admit(app)
    claimed = await hand.claim()
    assert len(claimed) == 3
    await hand.complete(*claimed)
    await admit(app, *[job.id for job in claimed], sweep=True)
    assert await hand.claim() == []
    opens_us = await outsider.fetchval("SELECT opens_us FROM holdfast.admit_v1('{}', NULL, 0, NULL, 10)")
    assert 59e6 < opens_us < 63e6
    await outsider.execute("SET holdfast.clock_offset = '59 seconds'")
    assert (await outsider.fetchrow("SELECT * FROM holdfast.admit_v1('{}', NULL, 0, '', 10)"))["seated"] == 0
    await outsider.execute("SET holdfast.clock_offset = '63 seconds'")
    assert (await outsider.fetchrow("SELECT * FROM holdfast.admit_v1('{}', NULL, 0, NULL, 10)"))["seated"] == 3


async def test_a_retry_takes_a_place_of_the_rate_again(app: Holdfast) -> None:
    @app.task(rate=Rate(1, per="1m", name="api"))
    async def send() -> None: ...

    hand = await declared(app)
    await send.enqueue()
    await admit(app)
    await hand.retry_later(await hand.claim_one(), delay_seconds=0)
    await admit(app, sweep=True)
    assert await hand.claim() == []


async def test_a_rate_by_key_and_a_limit_on_one_task(app: Holdfast) -> None:
    @app.task(limits=[Limit("api", 3)], rate=Rate(1, per="1h", by="tenant"))
    async def send(tenant: str) -> None: ...

    hand = await declared(app)
    await send.enqueue_many([("a",), ("a",), ("b",), ("c",), ("d",)])
    await admit(app)
    claimed = await hand.claim()
    assert [(await app.jobs.show(job.id)).args["tenant"] for job in claimed] == ["a", "b", "c"]
    await hand.complete(*claimed)
    await admit(app, *[job.id for job in claimed])
    assert [(await app.jobs.show(job.id)).args["tenant"] for job in await hand.claim()] == ["d"]


async def test_keys_that_wait_take_turns_by_weight(app: Holdfast) -> None:
    """One tenant has a hundred jobs, others a few: nobody waits behind the hundred, and gold goes twice as often."""

    @app.task(limits=[Limit("api", 1, fair_by="tenant", weights={"gold": 2})])
    async def call(tenant: str) -> None: ...

    hand = await declared(app)
    await call.enqueue_many([("big",)] * 100 + [("gold",)] * 8 + [("small",)] * 2)
    order: list[str] = []
    freed: list[int] = []
    for _ in range(9):
        await admit(app, *freed)
        claimed = await hand.claim_one()
        order.append((await app.jobs.show(claimed.id)).args["tenant"])
        await hand.complete(claimed)
        freed = [claimed.id]
    turns = order[1:9]  # the first found the gate open
    assert {tenant: turns.count(tenant) for tenant in ("gold", "big", "small")} == {"gold": 4, "big": 2, "small": 2}
    assert order.index("small") < 5


async def test_in_the_line_of_a_limit_the_more_urgent_goes_first_and_nobody_starves(
    app: Holdfast, outsider: Any
) -> None:
    @app.task(limits=[Limit("api", 1)])
    async def call(n: int) -> None: ...

    hand = await declared(app)
    first = await call.options(priority=9).enqueue(1)
    await admit(app)
    await call.options(priority=9).enqueue(2)
    await call.options(priority=0).enqueue(3)
    await admit(app)
    await hand.complete(await hand.claim_one())
    await admit(app, first)
    urgent = await hand.claim_one()
    assert (await app.jobs.show(urgent.id)).args == {"n": 3}
    # A job of the last level that has waited for a hundred seconds goes before an urgent one that comes now.
    await outsider.execute("SET holdfast.clock_offset = '100 seconds'")
    await call.options(priority=0).using(outsider).enqueue(4)
    await outsider.execute("SELECT holdfast.admit_v1('{}', NULL, 0, NULL, 10)")
    await hand.complete(urgent)
    await admit(app, urgent.id)
    assert (await app.jobs.show((await hand.claim_one()).id)).args == {"n": 2}


async def test_an_enqueue_from_sql_stands_before_the_same_gates(app: Holdfast, outsider: Any) -> None:
    @app.task(limits=[Limit("tenant", 1, by=("tenant", "dry"), fair_by="tenant")], rate=Rate(9, per="1s"))
    async def work(tenant: str = "none", n: int = 5, *, dry: bool = False) -> None: ...

    await declared(app)
    ours = [
        await work.options(lane="x").enqueue("ä,b", 7),
        await work.options(lane="x").enqueue(),
        await work.options(lane="x").enqueue("t" * 300, dry=True),
    ]
    theirs = [
        await outsider.fetchval("SELECT holdfast.enqueue('work', $1, lane => 'x')", args)
        for args in ('{"tenant": "ä,b", "n": 7}', "{}", '{"dry": true, "tenant": "' + "t" * 300 + '"}')
    ]
    gates = [
        [await outsider.fetchval("SELECT gates FROM holdfast.job WHERE id = $1", job) for job in jobs]
        for jobs in (ours, theirs)
    ]
    assert gates[0] == gates[1]
    assert gates[0][1] == "lane:x\nlimit:tenant:none,false\tnone\nrate:work:"


async def test_a_limit_by_a_function_is_for_the_application_alone(app: Holdfast, outsider: Any) -> None:
    @app.task(limits=[Limit("shard", 1, by=lambda n: n % 2)])
    async def work(n: int) -> None: ...

    hand = await declared(app)
    await work.enqueue_many([(n,) for n in range(4)])
    await admit(app)
    assert len(await hand.claim()) == 2
    with pytest.raises(asyncpg.PostgresError, match="only the application can work out"):
        await outsider.execute("SELECT holdfast.enqueue('work', '{\"n\": 1}')")


async def test_an_operator_changes_a_limit_and_takes_it_back(app: Holdfast) -> None:
    @app.task(limits=[Limit("api", 1)])
    async def call() -> None: ...

    hand = await declared(app)
    await call.enqueue_many([()] * 5)
    await admit(app)
    await app.limits.set("api", 3)
    await declare_tasks(app.database, app.tasks.values())  # a deploy does not undo it
    await admit(app, sweep=True)
    assert len(await hand.claim()) == 3
    (info,) = await app.limits.list()
    assert (info.name, info.capacity, info.declared, info.taken, info.waiting) == ("api", 3, 1, 3, 2)
    await app.limits.reset("api")
    assert (await app.limits.list())[0].capacity == 1
    with pytest.raises(ConfigurationError, match="no worker has declared limit:apy"):
        await app.limits.set("apy", 3)


@pytest.mark.parametrize(
    "options",
    [
        {"limits": [Limit("no spaces", 1)]},
        {"limits": [Limit("a", -1)]},
        {"limits": [Limit("a", 1), Limit("a", 2)]},
        {"limits": [Limit("a", 1, by="nobody")]},
        {"limits": [Limit("a", 1, weights={"x": 0})]},
        {"rate": Rate(1, per=0.0001)},
        {"limits": [Limit("shared", 5)]},
    ],
)
async def test_what_cannot_be_a_limit_is_refused(app: Holdfast, options: dict[str, Any]) -> None:
    @app.task(limits=[Limit("shared", 1)])
    async def first() -> None: ...

    with pytest.raises(ConfigurationError):
        app.task(name="second", **options)(lambda: None)


async def test_a_key_that_the_two_sides_could_write_differently_is_refused(app: Holdfast) -> None:
    @app.task(limits=[Limit("a", 1, by="x")])
    async def work(x: float) -> None: ...

    with pytest.raises(ArgumentsInvalid, match="it must be text, a whole number"):
        await work.enqueue(1.5)


async def test_real_workers_never_exceed_a_limit(app: Holdfast) -> None:
    running = 0
    most = 0

    @app.task(limits=[Limit("api", 4), Limit("tenant", 1, by="tenant")])
    async def call(tenant: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    await call.enqueue_many([(n % 7,) for n in range(150)])
    reports = await asyncio.gather(app.drain(concurrency=20), app.drain(concurrency=20))
    assert sum(report.completed for report in reports) == 150
    assert most <= 4
    await assert_conserved(app.database)
    await assert_gates_kept(app.database)
