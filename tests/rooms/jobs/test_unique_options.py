"""``Unique``: by some arguments, for a period, in chosen places, and what becomes of the newer job."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Holdfast, Unique
from holdfast.errors import ConfigurationError
from holdfast.jobs import Keeper, Task
from tests.rooms.jobs.hand import Hand, admit, assert_conserved, assert_gates_kept


@pytest.fixture
def work(app: Holdfast) -> Task[..., Any]:
    @app.task
    async def work(project: str = "p", n: int = 0) -> None: ...

    return work


async def test_some_of_the_arguments_may_be_the_key(work: Task[..., Any]) -> None:
    by_project = work.options(unique=Unique(by="project"))
    first = await by_project.enqueue("a", 1)
    assert await by_project.enqueue("a", 2) == first
    assert await by_project.enqueue("b", 1) != first
    by_both = work.options(unique=Unique(by=("n", "project")))
    assert await by_both.enqueue("a", 1) != await by_both.enqueue("a", 2)
    assert await by_both.enqueue(n=1, project="a") == await work.options(unique=Unique(by=["project", "n"])).enqueue(
        "a", 1
    )


async def test_an_argument_that_does_not_exist_is_refused(work: Task[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="no argument 'projct'"):
        await work.options(unique=Unique(by="projct")).enqueue("a")


async def test_for_its_period_a_key_outlives_its_job(app: Holdfast, work: Task[..., Any], outsider: Any) -> None:
    hourly = work.options(unique=Unique(key="k", period="1h"))
    first = await hourly.enqueue()
    hand = await Hand.registered(app.database)
    await hand.complete(await hand.claim_one())
    await Keeper(app.database, retention_days=30).tidy()
    again = await hourly.enqueue()
    assert (again, again.existing) == (first, True)
    await outsider.execute("SET holdfast.clock_offset = '61 minutes'")
    assert await hourly.using(outsider).enqueue() != first


@pytest.mark.parametrize("ending", ["fail", "cancel"])
async def test_a_period_counts_from_what_has_completed_only(app: Holdfast, work: Task[..., Any], ending: str) -> None:
    hourly = work.options(unique=Unique(key="k", period="1h"))
    first = await hourly.enqueue()
    hand = await Hand.registered(app.database)
    if ending == "fail":
        await hand.fail(await hand.claim_one())
    else:
        await app.jobs.cancel(first)
    assert await hourly.enqueue() != first


async def test_one_may_run_and_one_may_wait(app: Holdfast, work: Task[..., Any]) -> None:
    waiting = work.options(unique=Unique(key="k", places=("scheduled", "blocked", "ready")))
    first = await waiting.enqueue()
    assert await waiting.enqueue() == first
    hand = await Hand.registered(app.database)
    running = await hand.claim_one()
    second = await waiting.enqueue()
    assert second != first
    assert await waiting.enqueue() == second
    # The running one comes back into a covered place: it goes on without the key, and nothing fails.
    await hand.retry_later(running)
    await app.jobs.retry(first)
    assert await waiting.enqueue() == second
    claimed = await hand.claim()
    assert {job.id for job in claimed} == {first, second}
    await hand.die()
    await assert_conserved(app.database)
    assert (await app.jobs.show(first)).state == (await app.jobs.show(second)).state == "ready"


@pytest.mark.parametrize("place", ["scheduled", "ready", "blocked"])
async def test_replace_takes_the_place_of_the_one_that_waits(app: Holdfast, work: Task[..., Any], place: str) -> None:
    await Hand.registered(app.database)
    if place == "blocked":
        await work.options(lane="a").enqueue()
    newest = work.options(
        unique=Unique(key="k", on_conflict="replace"),
        run_in="1h" if place == "scheduled" else None,
        lane="a" if place == "blocked" else None,
    )
    old = await newest.enqueue("p", 1)
    await admit(app)
    assert (await app.jobs.show(old)).state == place
    new = await newest.enqueue("p", 2)
    assert not new.existing
    replaced = await app.jobs.show(old)
    assert replaced.state == "cancelled"
    assert replaced.error is not None
    assert replaced.error["message"] == f"replaced by job {new}"
    await admit(app)
    assert (await app.jobs.show(new)).state == place
    await assert_conserved(app.database)
    await assert_gates_kept(app.database)


async def test_replace_leaves_one_that_runs_alone(app: Holdfast, work: Task[..., Any]) -> None:
    newest = work.options(unique=Unique(key="k", on_conflict="replace"))
    first = await newest.enqueue()
    hand = await Hand.registered(app.database)
    claimed = await hand.claim_one()
    again = await newest.enqueue()
    assert (again, again.existing) == (first, True)
    assert await hand.complete(claimed) == []


async def test_a_replacement_that_is_rolled_back_never_was(app: Holdfast, work: Task[..., Any], outsider: Any) -> None:
    newest = work.options(unique=Unique(key="k", on_conflict="replace"))
    first = await newest.enqueue()
    undo = outsider.transaction()
    await undo.start()
    assert await newest.using(outsider).enqueue() != first
    hand = await Hand.registered(app.database)
    assert await hand.claim() == []  # neither the one that may be replaced nor the one that may never be
    await undo.rollback()
    assert [job.id for job in await hand.claim()] == [first]


async def test_skip_gives_the_id_and_holds_nothing(app: Holdfast, work: Task[..., Any], outsider: Any) -> None:
    skip = work.options(unique=Unique(key="k", on_conflict="skip"))
    first = await skip.enqueue()
    async with outsider.transaction():
        told = await skip.using(outsider).enqueue()
        assert (told, told.existing) == (first, True)
        hand = await Hand.registered(app.database)
        assert [job.id for job in await hand.claim()] == [first]


async def test_policies_in_one_bulk_call(app: Holdfast, work: Task[..., Any]) -> None:
    newest = work.options(unique=Unique(by="project", on_conflict="replace"))
    old = await newest.enqueue_many([("a", 1), ("b", 1)])
    new = await newest.enqueue_many([("b", 2), ("c", 2), ("a", 2)])
    assert not set(old) & set(new)
    assert [(await app.jobs.show(job)).state for job in old] == ["cancelled", "cancelled"]
    await assert_conserved(app.database)


@pytest.mark.parametrize(
    "options",
    [
        {"places": ("todo",)},
        {"places": ()},
        {"places": []},
        {"on_conflict": "maybe"},
        {"key": ""},
        {"key": "k", "by": "n"},
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Unique(**options)
