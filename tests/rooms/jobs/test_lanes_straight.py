"""The call that ends a job of a lane takes the next of that lane: in order, one at a time, and only what is its own."""

from __future__ import annotations

from typing import Any

from holdfast import Holdfast, Job, Limit
from holdfast.db import Database
from holdfast.jobs import Claimed, LeftGates, Task, declare_tasks
from tests.rooms.jobs.hand import Hand, admit, assert_conserved, assert_gates_kept, in_lane
from tests.waiting import eventually


async def listening(database: Database) -> tuple[Hand, list[str]]:
    """A worker, and the gates that it hands over to a look."""
    hand, over = await Hand.registered(database), list[str]()
    hand.hot.left_gates.hand_over = over.extend
    return hand, over


async def heads(app: Holdfast, hand: Hand) -> list[Claimed]:
    await admit(app)
    return await hand.claim()


def ids(claimed: list[Claimed]) -> list[int]:
    return [job.id for job in claimed]


async def test_a_lane_is_gone_through_without_a_look(app: Holdfast, work: Task[..., Any]) -> None:
    jobs = await in_lane(work, 4)
    hand, over = await listening(app.database)
    (running,) = await heads(app, hand)
    order = [running.id]
    while claimed := await hand.go_on(running):
        (running,) = claimed
        order.append(running.id)
        await assert_gates_kept(app.database)
        await assert_conserved(app.database)
    assert order == jobs
    assert over == []


async def test_each_lane_goes_on_by_itself(app: Holdfast, work: Task[..., Any]) -> None:
    first, second = await in_lane(work, 3, "a"), await in_lane(work, 3, "b")
    hand, _ = await listening(app.database)
    one, other = await heads(app, hand)
    assert (one.id, other.id) == (first[0], second[0])
    assert ids(await hand.go_on(other)) == [second[1]]
    assert ids(await hand.go_on(one)) == [first[1]]
    await assert_gates_kept(app.database)


async def test_what_is_ready_comes_first_and_the_lane_with_the_next_call(app: Holdfast, work: Task[..., Any]) -> None:
    lane = await in_lane(work, 2)
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    plain = int(await work.enqueue())
    (ready,) = await hand.go_on(head, limit=1)
    assert ready.id == plain
    assert ids(await hand.go_on(ready, limit=1)) == [lane[1]]
    assert over == []
    await assert_gates_kept(app.database)


async def test_a_lane_that_a_look_has_served_meanwhile_is_not_served_twice(app: Holdfast, work: Task[..., Any]) -> None:
    lane = await in_lane(work, 3)
    hand, _ = await listening(app.database)
    (head,) = await heads(app, hand)
    await work.enqueue()
    (ready,) = await hand.go_on(head, limit=1)
    await admit(app, sweep=True)
    (second,) = await hand.go_on(ready)
    assert second.id == lane[1]
    assert await hand.claim() == []
    await assert_gates_kept(app.database)


async def test_what_a_worker_does_not_come_back_for_is_handed_over(app: Holdfast, work: Task[..., Any]) -> None:
    await in_lane(work, 2)
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    await work.enqueue()
    await hand.go_on(head, limit=1)
    await eventually(lambda: over == ["lane:a"])


async def test_who_waits_for_another_queue_is_for_a_look(app: Holdfast, work: Task[..., Any]) -> None:
    @app.task(queue="elsewhere")
    async def theirs() -> None: ...

    await in_lane(work, 1)
    following = int(await theirs.options(lane="a").enqueue())
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    assert await hand.go_on(head) == []
    assert over == ["lane:a"]
    await admit(app, sweep=True)
    other = await Hand.registered(app.database, "elsewhere")
    assert ids(await other.claim()) == [following]


async def test_who_needs_a_limit_besides_is_for_a_look(app: Holdfast) -> None:
    @app.task(limits=[Limit("api", 1)])
    async def limited() -> None: ...

    await declare_tasks(app.database, [limited])
    _, following = [int(await limited.options(lane="a").enqueue()) for _ in range(2)]
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    assert await hand.go_on(head) == []
    assert sorted(over) == ["lane:a", "limit:api:"]
    await admit(app, sweep=True)
    assert ids(await hand.claim()) == [following]
    await assert_gates_kept(app.database)


async def test_a_paused_queue_gets_nothing_from_its_lanes(app: Holdfast, work: Task[..., Any]) -> None:
    _, following = await in_lane(work, 2)
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    await app.queues.pause("default")
    assert await hand.go_on(head) == []
    assert over == ["lane:a"]
    await app.queues.resume("default")
    await admit(app, sweep=True)
    assert ids(await hand.claim()) == [following]


async def test_while_another_worker_lets_in_it_comes_back_for_the_lane(
    app: Holdfast, work: Task[..., Any], outsider: Any
) -> None:
    _, following = await in_lane(work, 2)
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    async with outsider.transaction():
        await outsider.execute("SELECT pg_advisory_xact_lock(1212574, 0)")
        assert await hand.go_on(head) == []
    assert (ids(await hand.claim()), over) == ([following], [])


async def test_a_cancelled_one_is_passed_and_ends(app: Holdfast, work: Task[..., Any], outsider: Any) -> None:
    _, second, third = await in_lane(work, 3)
    hand, _ = await listening(app.database)
    (head,) = await heads(app, hand)
    await outsider.execute("INSERT INTO holdfast.cancel_request (job_id, requested_at) VALUES ($1, now())", second)
    assert await hand.go_on(head) == []
    assert (await app.jobs.show(second)).state == "cancelled"
    await assert_gates_kept(app.database)
    await admit(app, sweep=True)
    assert ids(await hand.claim()) == [third]


async def test_a_transactional_task_has_a_lease_of_its_own(app: Holdfast) -> None:
    @app.task(transactional=True)
    async def alone(job: Job) -> None: ...

    for lane in "ab":
        for _ in range(2):
            await alone.options(lane=lane).enqueue()
    hand, _ = await listening(app.database)
    claimed = await hand.go_on(*await heads(app, hand))
    assert len({job.lease for job in claimed}) == len(claimed) == 2
    await assert_gates_kept(app.database)


async def test_who_is_dead_goes_on_nowhere(app: Holdfast, work: Task[..., Any]) -> None:
    first, second = await in_lane(work, 2)
    hand, _ = await listening(app.database)
    (head,) = await heads(app, hand)
    await hand.die()
    assert await hand.go_on(head) == []
    other = await Hand.registered(app.database)
    await admit(app, sweep=True)
    (head,) = await other.claim()
    assert head.id == first
    assert ids(await other.go_on(head)) == [second]


async def test_who_ends_a_job_and_claims_nothing_comes_back_for_its_lane(app: Holdfast, work: Task[..., Any]) -> None:
    _, following = await in_lane(work, 2)
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    await hand.complete(head, comes_back=True)
    assert (ids(await hand.claim()), over) == ([following], [])


async def test_who_ends_a_job_and_does_not_come_back_hands_its_lane_over(app: Holdfast, work: Task[..., Any]) -> None:
    await in_lane(work, 2)
    hand, over = await listening(app.database)
    (head,) = await heads(app, hand)
    await hand.complete(head)
    assert over == ["lane:a"]


async def test_an_answer_that_is_lost_hands_over_what_was_asked_for() -> None:
    over = list[str]()
    gates = LeftGates()
    gates.hand_over = over.extend
    gates.keep(["lane:a"])
    assert (gates.ask(), over) == (["lane:a"], [])
    gates.lost()
    assert (gates.ask(), over) == ([], ["lane:a"])


async def test_what_is_kept_again_and_again_is_handed_over_all_the_same() -> None:
    over = list[str]()
    gates = LeftGates()
    gates.hand_over = over.extend
    gates.keep(["lane:a"])

    def asked_again() -> bool:
        gates.answered([], gates.ask())
        return bool(over)

    await eventually(asked_again)
    assert (gates.ask(), over) == ([], ["lane:a"])
