"""Operations: what was previewed is what is done, to nothing else, whatever dies on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from holdfast import Holdfast
from holdfast.errors import ConfigurationError, FilterInvalid, OperationNotFound, OperationRefused
from holdfast.jobs import LeftToRun, OperationInfo, Operations, Operator
from holdfast.worker import Worker
from tests.interleavings.stage import Mutation, Stage
from tests.rooms.jobs.hand import Hand, assert_conserved
from tests.rooms.jobs.test_search import one_in_each_place
from tests.rooms.working import working
from tests.waiting import eventually

Apply = Callable[..., Awaitable[OperationInfo]]


@pytest.fixture
async def operations(app: Holdfast) -> Operations:
    return Operations(app.database)


@pytest.fixture
async def operator(app: Holdfast) -> Operator:
    return Operator(app.database, retention_days=30)


@pytest.fixture
async def apply(operations: Operations, operator: Operator) -> Apply:
    """Preview, start, and turn until nothing runs."""

    async def apply(verb: str, text: str, **options: Any) -> OperationInfo:
        preview = await operations.preview(verb, text, **options)
        started = await operations.start(preview.token)
        while await operator.turn():
            pass
        return await operations.show(started.id)

    return apply


@pytest.fixture
def send(app: Holdfast) -> Any:
    @app.task(queue="mail")
    async def send(user_id: int) -> None: ...

    return send


async def failed(app: Holdfast, send: Any, jobs: int) -> list[int]:
    ids = list(await send.enqueue_many([(n,) for n in range(jobs)]))
    hand = await Hand.registered(app.database, "mail")
    while claimed := await hand.claim(500):
        await hand.fail(*claimed)
    return ids


async def states(app: Holdfast, ids: list[int]) -> set[str]:
    return {info.state for info in await app.jobs.show_many(ids)}


async def test_every_failed_job_of_a_filter_runs_again_and_no_other(app: Holdfast, send: Any, apply: Apply) -> None:
    ids = await failed(app, send, 1_200)
    info = await apply("retry", "queue=mail args.user_id!=7")
    assert (info.state, info.moved, info.skipped, info.failed) == ("finished", 1_199, 0, 0)
    assert (info.planned, info.planned_is_exact) == (1_199, True)
    assert await states(app, ids[:7] + ids[8:]) == {"ready"}
    assert await states(app, [ids[7]]) == {"failed"}
    await assert_conserved(app.database)


VERBS: dict[str, tuple[dict[str, Any], str, str]] = {
    "retry": ({}, "state=failed,cancelled,scheduled", "ready"),
    "cancel": ({}, "", "cancelled"),
    "reschedule": ({"run_in": "2h"}, "", "scheduled"),
    "priority": ({"priority": 9}, "", ""),
    "purge": ({}, "", "gone"),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_each_verb_does_what_it_says_in_every_place_where_it_is_legal(
    app: Holdfast, operations: Operations, operator: Operator, verb: str
) -> None:
    options, text, target = VERBS[verb]
    places = await one_in_each_place(app)
    preview = await operations.preview(verb, text, **options)
    legal = {group.state for group in preview.groups}
    await operations.start(preview.token)
    while await operator.turn():
        pass
    for place, ids in places.items():
        infos = await app.jobs.show_many(ids)
        now = {info.state for info in infos} or {"gone"}
        if place not in legal:
            assert now == {place}, place
            assert not any(info.cancel_requested for info in infos)
        elif verb == "priority":
            assert (now, {info.priority for info in infos}) == ({place}, {9})
        elif (verb, place) == ("cancel", "running"):
            assert all(info.cancel_requested for info in infos)
        else:
            assert now == {target}, place
    assert legal == {
        "retry": {"failed", "cancelled", "scheduled"},
        "purge": set(places) - {"running"},
        "cancel": {"scheduled", "blocked", "ready", "running"},
    }.get(verb, {"scheduled", "blocked", "ready"})
    await assert_conserved(app.database)


async def test_retry_takes_only_what_failed_unless_states_are_said(app: Holdfast, operations: Operations) -> None:
    await one_in_each_place(app)
    preview = await operations.preview("retry", "")
    assert {group.state for group in preview.groups} == {"failed"}
    assert [w for w in preview.warnings if "state=failed,cancelled" in w]
    assert (await operations.preview("retry", "state=running,completed")).jobs == 0


async def test_rescheduling_to_now_meets_no_job_twice(app: Holdfast, send: Any, apply: Apply) -> None:
    await send.options(run_in="1h").enqueue_many([(n,) for n in range(20)])
    await send.enqueue_many([(n,) for n in range(20)])
    info = await apply("reschedule", "queue=mail", run_in=0)
    assert (info.moved, info.skipped) == (40, 0)
    later = await apply("reschedule", "queue=mail", run_at=datetime.now(UTC) + timedelta(hours=1))
    assert (later.moved, later.skipped) == (40, 0)


async def test_what_comes_after_the_preview_is_left_alone(
    app: Holdfast, send: Any, operations: Operations, operator: Operator
) -> None:
    await failed(app, send, 3)
    preview = await operations.preview("purge", "queue=mail ended<1h")
    later = await failed(app, send, 3)
    waiting = await send.enqueue(1)
    await operations.start(preview.token)
    while await operator.turn():
        pass
    assert await states(app, later) == {"failed"}
    assert (await app.jobs.show(waiting)).state == "ready"
    assert (await operations.list())[0].moved == preview.jobs == 3


async def test_ages_count_from_the_preview_not_from_the_batch(
    app: Holdfast, send: Any, operations: Operations, operator: Operator, outsider: Any
) -> None:
    ids = await failed(app, send, 2)
    preview = await operations.preview("retry", "ended<1m")
    started = await operations.start(preview.token)
    # As if the operation's turn had come an hour later: the moment by which it is judged stays where it was.
    await outsider.execute(
        "UPDATE holdfast.operation SET started_at = started_at + interval '1 hour', turn_at = now() + interval '1 hour'"
    )
    async with app.database.connection() as connection, connection.transaction():
        await connection.execute("SET LOCAL holdfast.clock_offset = '1 hour'")
        await connection.fetch("SELECT * FROM holdfast.operate_v1(500, 10000)")
    assert (await operations.show(started.id)).moved == 2
    assert await states(app, ids) == {"ready"}


async def test_a_job_that_no_longer_fits_when_its_turn_comes_is_left_alone(
    app: Holdfast, send: Any, operations: Operations, operator: Operator
) -> None:
    first, second, third = await failed(app, send, 3)
    preview = await operations.preview("retry", "state=failed")
    await operations.start(preview.token)
    await app.jobs.purge(first)
    await app.jobs.retry(second)
    while await operator.turn():
        pass
    (info,) = await operations.list()
    assert (info.planned, info.moved, info.state) == (3, 1, "finished")
    assert (await app.jobs.show(third)).state == "ready"


async def test_a_token_starts_once_in_time_and_for_whoever_asked(operations: Operations, outsider: Any) -> None:
    token = (await operations.preview("cancel", "queue=mail", by="ada", reason="provider down")).token
    with pytest.raises(OperationRefused, match="somebody else made this preview"):
        await operations.start(token, by="bob")
    info = await operations.start(token, by="ada")
    assert (info.requested_by, info.reason, info.state) == ("ada", "provider down", "running")
    with pytest.raises(OperationRefused, match=f"started already, as operation {info.id}"):
        await operations.start(token, by="ada")
    with pytest.raises(OperationRefused, match="no preview with this token"):
        await operations.start("guess", by="ada")
    old = (await operations.preview("cancel", "queue=mail")).token
    await outsider.execute("UPDATE holdfast.operation SET expires_at = now() - interval '1 second'")
    with pytest.raises(OperationRefused, match="older than ten minutes"):
        await operations.start(old)
    stored = await outsider.fetch("SELECT token_hash FROM holdfast.operation")
    assert old not in {row[0] for row in stored}


async def test_what_cannot_be_is_refused_before_anything_is_stored(operations: Operations) -> None:
    for verb, options, said in (
        ("complete", {}, "an operation cannot complete"),
        ("reschedule", {}, "reschedule needs a time"),
        ("reschedule", {"run_in": "1h", "run_at": datetime.now(UTC)}, "reschedule needs a time"),
        ("reschedule", {"run_at": datetime.now()}, "no time zone"),  # noqa: DTZ005
        ("cancel", {"run_in": "1h"}, "cancel takes no time"),
        ("priority", {}, "priority needs the priority"),
        ("priority", {"priority": 10}, "from 0"),
        ("purge", {"priority": 1}, "purge takes no priority"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            await operations.preview(verb, "queue=mail", **options)
    with pytest.raises(FilterInvalid, match="no field"):
        await operations.preview("cancel", "quue=mail")
    assert await operations.list() == []
    with pytest.raises(OperationNotFound):
        await operations.show(1)


async def test_cancelled_between_two_batches_it_moves_nothing_more(
    app: Holdfast, send: Any, operations: Operations, operator: Operator
) -> None:
    await failed(app, send, 1_200)
    started = await operations.start((await operations.preview("retry", "queue=mail")).token)
    assert await operator.turn()
    cancelled = await operations.cancel(started.id, by="ada")
    assert (cancelled.state, cancelled.moved, cancelled.ended_by) == ("cancelled", 500, "ada")
    assert not await operator.turn()
    assert (await operations.cancel(started.id)).state == "cancelled"
    assert len(await app.jobs.where("state=failed").ids(limit=2_000)) == 700
    finished = await operations.start((await operations.preview("purge", "queue=nobody")).token)
    while await operator.turn():
        pass
    with pytest.raises(OperationRefused, match="is finished"):
        await operations.cancel(finished.id)


async def test_a_batch_that_did_not_commit_has_not_happened(
    app: Holdfast, send: Any, operations: Operations, operator: Operator, database_url: str
) -> None:
    await failed(app, send, 600)
    started = await operations.start((await operations.preview("retry", "queue=mail")).token)
    dying = await asyncpg.connect(database_url)
    transaction = dying.transaction()
    await transaction.start()
    assert await dying.fetchval("SELECT taken FROM holdfast.operate_v1(500, 10000)") == 500
    assert not await operator.turn()  # in other hands
    dying.terminate()
    await eventually(operator.turn)
    while await operator.turn():
        pass
    info = await operations.show(started.id)
    assert (info.moved, info.skipped, info.state) == (600, 0, "finished")


async def test_one_job_that_cannot_be_moved_holds_up_no_other(
    app: Holdfast, operations: Operations, operator: Operator, database_url: str
) -> None:
    @app.task(queue="mail")
    async def send(n: int) -> None: ...

    ids = [await send.options(unique=f"k{n}").enqueue(n) for n in range(5)]
    hand = await Hand.registered(app.database, "mail")
    await hand.fail(*await hand.claim())
    await send.options(unique="k2").enqueue(20)
    await hand.fail(*await hand.claim())
    # An application takes the unique key of one of them, in a transaction that does not end.
    holder = await asyncpg.connect(database_url)
    await holder.execute("BEGIN")
    await holder.execute("SELECT holdfast.enqueue('send', '{\"n\": 9}', queue => 'mail', unique_key => 'k2')")
    started = await operations.start((await operations.preview("retry", "queue=mail args.n!=20")).token)
    while await operator.turn():
        pass
    await holder.execute("ROLLBACK")
    await holder.close()
    info = await operations.show(started.id)
    assert (info.moved, info.failed, info.state) == (4, 1, "finished")
    assert info.trouble is not None
    assert f"job {ids[2]}" in info.trouble
    assert await states(app, [ids[2]]) == {"failed"}


NOT_HELD = Mutation("moves what it does not hold", (("hold_jobs_v1", "FOR UPDATE SKIP LOCKED", ""),))


@pytest.mark.parametrize("broken", [None, NOT_HELD], ids=str)
async def test_what_others_hold_is_skipped_and_not_waited_for(
    app: Holdfast,
    send: Any,
    operations: Operations,
    operator: Operator,
    database_url: str,
    broken: Mutation | None,
) -> None:
    if broken is not None:
        async with Stage(database_url) as stage:
            await stage.install(broken)
    ids = await failed(app, send, 3)
    started = await operations.start((await operations.preview("retry", "queue=mail")).token)
    holder = await asyncpg.connect(database_url)
    await holder.execute("BEGIN")
    await holder.fetchval("SELECT holdfast.retry_v1($1)", ids[1])
    while await operator.turn():
        pass
    await holder.execute("ROLLBACK")
    await holder.close()
    info = await operations.show(started.id)
    assert ((info.moved, info.skipped, info.failed) == (2, 1, 0)) is (broken is None)


async def test_two_operations_take_turns(app: Holdfast, send: Any, operations: Operations, operator: Operator) -> None:
    await failed(app, send, 1_100)
    await send.options(queue="other").enqueue_many([(n,) for n in range(3)])
    long = await operations.start((await operations.preview("retry", "queue=mail")).token)
    short = await operations.start((await operations.preview("cancel", "queue=other state=ready")).token)
    for _ in range(2):
        await operator.turn()
    assert (await operations.show(short.id)).moved == 3
    assert (await operations.show(long.id)).moved == 500
    while await operator.turn():
        pass
    assert (await operations.show(long.id)).moved == 1_100


async def test_a_worker_applies_it_soon_and_says_how_far_it_is(
    app: Holdfast, send: Any, operations: Operations
) -> None:
    await failed(app, send, 30)
    async with working(app, ("elsewhere",)):
        started = await operations.start((await operations.preview("purge", "queue=mail")).token)

        async def finished() -> bool:
            return (await operations.show(started.id)).state == "finished"

        await eventually(finished)
    info = await operations.show(started.id)
    assert (info.moved, info.eta_seconds) == (30, None)
    assert info.rate is not None
    assert info.rate > 0


async def test_a_drain_ends_when_the_operation_is_done_and_what_it_brought_back_has_run(
    app: Holdfast, send: Any, operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the drain has found nothing else to do before the operation had its first turn."""
    ids = await failed(app, send, 700)
    turn, left, asked = Operator.turn, Worker._left_to_run, asyncio.Event()

    async def turn_late(operator: Operator) -> bool:
        await asked.wait()
        return await turn(operator)

    async def ask(worker: Worker) -> LeftToRun:
        answer = await left(worker)
        asked.set()
        return answer

    monkeypatch.setattr(Operator, "turn", turn_late)
    monkeypatch.setattr(Worker, "_left_to_run", ask)
    started = await operations.start((await operations.preview("retry", "queue=mail")).token)
    report = await app.drain(["mail"])

    info = await operations.show(started.id)
    assert (info.state, info.moved, report.completed) == ("finished", len(ids), len(ids))


async def test_whoever_may_touch_some_queues_moves_and_sees_nothing_of_others(
    app: Holdfast, send: Any, operations: Operations, operator: Operator
) -> None:
    await send.enqueue(1)
    other = await send.options(queue="other").enqueue(2)
    preview = await operations.preview("cancel", "", queues=["mail"])
    assert [match.queue for match in preview.sample] == ["mail"]
    mine = await operations.start(preview.token)
    theirs = await operations.start((await operations.preview("priority", "", priority=1)).token)
    while await operator.turn():
        pass
    info = await app.jobs.show(other)
    assert (info.state, info.priority) == ("ready", 1)
    assert [info.id for info in await operations.list(queues=["mail", "x"])] == [mine.id]
    with pytest.raises(OperationNotFound):
        await operations.show(theirs.id, queues=["mail"])


async def test_previews_that_nobody_started_are_forgotten(
    operations: Operations, operator: Operator, outsider: Any
) -> None:
    await operations.preview("cancel", "")
    kept = await operations.start((await operations.preview("cancel", "")).token)
    await outsider.execute("UPDATE holdfast.operation SET expires_at = now() - interval '2 hours'")
    await operator.forget()
    assert await outsider.fetch("SELECT id FROM holdfast.operation") == [(kept.id,)]


async def test_what_a_batch_cannot_get_over_is_given_up_and_said(
    app: Holdfast, send: Any, operations: Operations, operator: Operator, outsider: Any
) -> None:
    await failed(app, send, 3)
    started = await operations.start((await operations.preview("retry", "queue=mail args.user_id=1")).token)
    await outsider.execute('UPDATE holdfast.operation SET terms = \'[{"number": "no number"}]\'')
    for _ in range(3):
        assert not await operator.turn()
    info = await operations.show(started.id)
    assert info.state == "failed"
    assert info.trouble is not None
    assert "no number" in info.trouble


# --- builds broken on purpose, each caught by the promise that it breaks

BROKEN = (
    Mutation(
        "ignores the filter",
        (("operate_v1", "v_op.tasks, v_op.failures, v_op.terms", "v_op.tasks, v_op.failures, NULL"),),
    ),
    Mutation(
        "takes what came later",
        (
            ("operate_v1", "v_op.until_id, v_op.before", "9223372036854775807, v_op.before"),
            ("operate_v1", "v_op.frozen_at, v_op.frozen_at", "v_op.frozen_at, NULL"),
        ),
    ),
    Mutation("runs another verb", (("move_jobs_v1", "WHEN 'purge' THEN", "WHEN 'purge' THEN v_moved := 0; ELSE"),)),
    Mutation("forgets how far it was", (("operate_v1", "before = v_before, ", ""),)),
    Mutation(
        "goes on after it was cancelled", (("operate_v1", "WHERE o.state = 'running' ORDER BY", "WHERE true ORDER BY"),)
    ),
)


async def troubles_of_a_purge(
    app: Holdfast, operations: Operations, operator: Operator, database_url: str
) -> list[str]:
    """A purge of dead letters, cancelled after two batches, while jobs come and others are held: what goes wrong."""

    @app.task(queue="mail")
    async def send(user_id: int) -> None: ...

    ids = await failed(app, send, 1_300)
    preview = await operations.preview("purge", "state=failed args.user_id!=1250,1251")
    later = await failed(app, send, 2)
    await app.jobs.retry(ids[1_299])
    await app.jobs.cancel(ids[1_299])
    holder = await asyncpg.connect(database_url)
    await holder.execute("BEGIN")
    await holder.fetchval("SELECT holdfast.retry_v1($1)", ids[1_298])
    started = await operations.start(preview.token)
    await operator.turn()
    await holder.execute("ROLLBACK")
    await holder.close()
    await operator.turn()
    await operations.cancel(started.id)
    for _ in range(3):
        await operator.turn()
    info = await operations.show(started.id)
    left = {info.id: info.state for info in await app.jobs.list(limit=2_000)}
    gone, expected = {*ids, *later} - left.keys(), {*ids[297:1_298]} - {ids[1_250], ids[1_251]}
    wrong: dict[str, set[Any]] = {
        "too many are gone": gone - expected,
        "too many are left": expected - gone,
        "others have moved": {job for job in left.keys() - {ids[1_299]} if left[job] != "failed"},
        "wrongly counted": {(info.moved, info.skipped, info.failed)} - {(len(gone), 1, 0)},
        "wrong end": {info.state} - {"cancelled"},
    }
    return [f"{len(found)} {what}" for what, found in wrong.items() if found]


async def test_what_was_previewed_is_what_happens(
    app: Holdfast, operations: Operations, operator: Operator, database_url: str
) -> None:
    assert await troubles_of_a_purge(app, operations, operator, database_url) == []


@pytest.mark.parametrize("broken", BROKEN, ids=str)
async def test_a_broken_build_is_caught(
    app: Holdfast, operations: Operations, operator: Operator, database_url: str, broken: Mutation
) -> None:
    async with Stage(database_url) as stage:
        await stage.install(broken)
    assert await troubles_of_a_purge(app, operations, operator, database_url)
