"""Appends of concurrent callers share commits, and nothing else: nobody waits or fails for a stranger's sake."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import Append, Event, Holdfast
from holdfast.errors import DatabaseUnavailable, VersionConflict
from holdfast.events.sharing import SharedAppends
from tests.waiting import eventually

_WAITS_FOR_STRANGERS = """
    CREATE OR REPLACE FUNCTION holdfast.take_streams_v1(
        p_streams text[], p_expected bigint[], p_counts integer[],
        OUT verdicts text[], OUT bases bigint[], OUT partitions smallint[]
    ) LANGUAGE plpgsql VOLATILE AS $$
    DECLARE v_taken record;
    BEGIN
        FOR v_at IN 1 .. cardinality(p_streams) LOOP
            v_taken := holdfast.take_stream_v1(p_streams[v_at], p_expected[v_at], p_counts[v_at]);
            verdicts[v_at] := CASE WHEN v_taken.base IS NULL THEN 'conflict' ELSE 'appended' END;
            bases[v_at] := v_taken.base;
            partitions[v_at] := v_taken.partition;
        END LOOP;
    END $$"""


async def append_at_once(app: Holdfast, streams: list[str]) -> list[asyncio.Task[object]]:
    """One caller a stream; whoever comes first goes alone, the others together."""
    tasks = [asyncio.create_task(app.events.append(stream, Event("T", {"of": stream}))) for stream in streams]
    await asyncio.sleep(0)
    return tasks  # type: ignore[return-value]


async def test_callers_that_wait_together_share_a_commit(app: Holdfast, outsider: Any) -> None:
    await app.events.append("first-1", Event("T", 0))  # a first statement connects and plans: nobody waits for that
    await asyncio.gather(*await append_at_once(app, [f"s-{n}" for n in range(60)]))

    commits = await outsider.fetchval("select count(distinct xmin::text) from holdfast.event")
    assert (await outsider.fetchval("select count(*) from holdfast.event"), commits < 10) == (61, True)


async def test_each_gets_its_own_answer(app: Holdfast) -> None:
    await app.events.append("old-1", [Event("T", 1), Event("T", 2)])

    one, several, refused, missing, again = await asyncio.gather(
        app.events.append("new-1", Event("T", 3), metadata={"actor": "ada"}),
        app.events.append("new-2", [Event("T", n) for n in range(5)], expected_version="none"),
        app.events.append("old-1", Event("T", 9), expected_version=1),
        app.events.append("none-1", Event("T", 9), expected_version=4),
        app.events.append("new-2", Event("T", 6)),
        return_exceptions=True,
    )

    assert not isinstance(one, BaseException)
    assert not isinstance(several, BaseException)
    assert not isinstance(again, BaseException)
    assert (one.versions, several.versions, again.versions) == ((1,), (1, 2, 3, 4, 5), (6,))
    assert isinstance(refused, VersionConflict)
    assert (refused.expected, refused.actual, refused.winners[0].version) == (1, 2, 2)
    assert isinstance(missing, VersionConflict)
    assert [e.data for e in await app.events.read_stream("new-2")] == [0, 1, 2, 3, 4, 6]
    assert [e.data for e in await app.events.read_stream("old-1")] == [1, 2]
    (kept,) = await app.events.read_stream("new-1")
    assert (kept.metadata, kept.position) == ({"actor": "ada"}, one.position)


async def others_go_on(app: Holdfast, outsider: Any, held: str) -> bool:
    """Whether strangers are served while somebody's transaction holds one of the streams."""
    others = [f"other-{n}" for n in range(8)]
    async with outsider.transaction():
        await app.events.using(outsider).append(held, Event("T", "first"))
        first, *tasks = await append_at_once(app, ["other-first", held, *others])
        _, pending = await asyncio.wait([first, *tasks[1:]], timeout=5)
        assert not tasks[0].done()
    await asyncio.gather(first, *tasks)
    assert [e.data for e in await app.events.read_stream(held)][-2:] == ["first", {"of": held}]
    return not pending


@pytest.mark.parametrize("is_new", [False, True])
async def test_nobody_waits_for_a_stream_of_a_stranger(app: Holdfast, outsider: Any, is_new: bool) -> None:  # noqa: FBT001
    if not is_new:
        await app.events.append("held-1", Event("T", 0))
    assert await others_go_on(app, outsider, "held-1")


async def test_a_build_that_waits_for_strangers_is_caught(app: Holdfast, outsider: Any) -> None:
    await app.events.append("held-1", Event("T", 0))
    await outsider.execute(_WAITS_FOR_STRANGERS)
    assert not await others_go_on(app, outsider, "held-1")


async def test_whoever_goes_alone_and_waits_lets_the_others_go(app: Holdfast, outsider: Any) -> None:
    await app.events.append("held-1", Event("T", 0))
    async with outsider.transaction():
        await app.events.using(outsider).append("held-1", Event("T", "first"))
        first, *others = await append_at_once(app, ["held-1", *[f"other-{n}" for n in range(5)]])
        await asyncio.wait_for(asyncio.gather(*others), timeout=5)
        assert not first.done()
    await first


async def test_a_caller_who_has_gone_takes_nothing_along(app: Holdfast) -> None:
    tasks = await append_at_once(app, [f"s-{n}" for n in range(10)])
    tasks[5].cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(end).__name__ for end in ended].count("CancelledError") == 1
    assert await app.events.version_of("s-5") == 0
    assert await app.events.version_of("s-9") == 1


async def test_a_connection_that_dies_under_many_loses_and_doubles_nothing(app: Holdfast, outsider: Any) -> None:
    tasks = [asyncio.create_task(app.events.append(f"s-{n}", Event("T", n))) for n in range(300)]

    async def killed() -> bool:
        return bool(
            await outsider.fetchval(
                "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid() and query like '%append_%') as x"
            )
        )

    await eventually(killed)
    await asyncio.gather(*tasks)
    assert [await app.events.version_of(f"s-{n}") for n in range(300)] == [1] * 300


async def test_closing_cuts_what_is_under_way_and_its_callers_hear_of_it(
    app: Holdfast, outsider: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.events.sharing._CLOSE_SECONDS", 0.1)
    shared = SharedAppends(app.database.hold("user"))
    answers = [asyncio.get_running_loop().create_future() for _ in range(2)]
    async with outsider.transaction():
        await outsider.execute("lock table holdfast.event in share mode")
        for stream, answer in zip(("a-1", "b-1"), answers, strict=True):
            writing = app.events._prepare([Append(stream, Event("T", 0))], {})
            shared._waiting.append((writing, answer))
        shared._start_sender()

        async def waits() -> bool:
            return bool(await outsider.fetchval("select count(*) > 0 from pg_locks where not granted"))

        await eventually(waits)
        await asyncio.wait_for(shared.close(), timeout=5)
        for answer in answers:
            with pytest.raises(DatabaseUnavailable, match="whether it was stored is unknown"):
                await asyncio.wait_for(answer, timeout=5)
