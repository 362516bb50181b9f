"""The order of the log: two sessions and a reader, every rule that the settled watermark rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.interleavings.stage import Schedule, Session, Stage

_APPEND = "select position from holdfast.append_events($1, $2::text::jsonb)"
_TICK = "select * from holdfast.tick_v1($1, $2, $3)"
_READ = """select stream, version, position from holdfast.event
           where position > $1 and position <= holdfast.settled_v1() order by position"""


async def append(session: Session, stream: str) -> int:
    return int(await session.connection.fetchval(_APPEND, stream, '[{"type": "T", "data": {}}]'))


@dataclass
class Reader:
    """A process that ticks, reads on from where it was, and remembers what it was given."""

    connection: asyncpg.Connection[asyncpg.Record]
    number: int = 1
    pending: int | None = None
    fence: list[str] | None = None
    given: list[tuple[str, int, int]] = field(default_factory=list)

    async def tick(self) -> int:
        row = await self.connection.fetchrow(_TICK, self.number, self.pending, self.fence)
        assert row is not None
        self.pending, self.fence = row["pending"], row["fence"]
        return int(row["settled"])

    async def look(self) -> list[int]:
        """Tick, read; the positions that are new."""
        await self.tick()
        last = max((position for _, _, position in self.given), default=0)
        rows = [tuple(row) for row in await self.connection.fetch(_READ, last)]
        self.given += rows
        return [position for _, _, position in rows]


async def expect_whole(stage: Stage, reader: Reader) -> None:
    """Everything that was committed was given once, each stream in the order of its versions."""
    await reader.look()
    await reader.look()
    there = [tuple(row) for row in await stage.watch.fetch("select stream, version, position from holdfast.event")]
    stage.expect(sorted(reader.given) == sorted(there), f"given {reader.given}, in the log {there}")
    versions: dict[str, int] = {}
    for stream, version, _ in reader.given:
        stage.expect(version == versions.get(stream, 0) + 1, f"{stream} version {version} after {versions.get(stream)}")
        versions[stream] = version


async def late_commit_of_an_early_position(stage: Stage) -> None:
    slow, fast = await stage.sessions("slow", "fast")
    reader = Reader(stage.watch)
    await slow.begin()
    first = await append(slow, "a")
    second = await append(fast, "b")
    stage.expect(first < second, "the schedule is not what it says")

    stage.expect(await reader.look() == [], "a reader passed an append that was still open")
    stage.expect(await reader.look() == [], "a reader passed an append that was still open")
    await slow.commit()
    stage.expect(await reader.look() == [first, second], "the events did not come once their writers had ended")
    await expect_whole(stage, reader)


async def an_early_transaction_id_appends_late(stage: Stage) -> None:
    """What order by transaction id gets wrong: the older transaction appends the later version."""
    old, young = await stage.sessions("old", "young")
    await stage.watch.execute("create table business (id int)")
    reader = Reader(stage.watch)
    await old.begin()
    await old.connection.execute("insert into business values (1)")
    await append(young, "a")
    await append(old, "a")
    await reader.look()
    await old.commit()
    await expect_whole(stage, reader)


async def an_earlier_one_of_two_writers_rolls_back(stage: Stage) -> None:
    slow, fast = await stage.sessions("slow", "fast")
    reader = Reader(stage.watch)
    await slow.begin()
    await append(slow, "a")
    await append(fast, "b")
    await reader.look()
    await slow.rollback()
    stage.expect(len(await reader.look()) == 1, "a hole that will never fill holds the log up")
    await expect_whole(stage, reader)


async def a_savepoint_is_rolled_back(stage: Stage) -> None:
    session, other = await stage.sessions("session", "other")
    reader = Reader(stage.watch)
    await session.begin()
    await session.connection.execute("savepoint s")
    await append(session, "a")
    await session.connection.execute("rollback to savepoint s")
    await append(other, "b")
    await reader.look()
    await append(session, "c")
    await session.connection.execute("savepoint t")
    await append(session, "d")
    await append(other, "e")
    await session.connection.execute("release savepoint t")
    await reader.look()
    await reader.look()
    stage.expect({stream for stream, _, _ in reader.given} <= {"b"}, f"an open append was passed: {reader.given}")
    await session.commit()
    await expect_whole(stage, reader)


async def a_writer_is_prepared_between_two_looks(stage: Stage) -> None:
    writer, other = await stage.sessions("writer", "other")
    reader = Reader(stage.watch)
    await writer.begin()
    await append(writer, "a")
    await append(other, "b")
    stage.expect(await reader.look() == [], "a reader passed an append that was still open")
    await writer.connection.execute("prepare transaction 'p'")
    stage.expect(await reader.look() == [], "a reader passed an append that was being prepared")
    stage.expect(await reader.look() == [], "a reader passed a prepared append")
    await other.connection.execute("commit prepared 'p'")
    await expect_whole(stage, reader)


async def newer_writers_never_end(stage: Stage) -> None:
    """Somebody always writes; who came after a position was read is not waited for."""
    first, second = await stage.sessions("first", "second")
    reader = Reader(stage.watch)
    await first.begin()
    one = await append(first, "a")
    await reader.look()
    await second.begin()
    await append(second, "b")
    await first.commit()
    stage.expect(await reader.look() == [one], "readers wait for writers that came later")
    await first.begin()
    await append(first, "c")
    await reader.look()
    await second.commit()
    await reader.look()
    await first.commit()
    await expect_whole(stage, reader)


async def others_write_but_not_to_the_log(stage: Stage) -> None:
    """No transaction but an append holds readers back: not a write, not a lock, not an old snapshot."""
    busy, old = await stage.sessions("busy", "old")
    reader = Reader(stage.watch)
    await stage.watch.execute("create table business (id int)")
    await busy.begin()
    await busy.connection.execute("insert into business values (1)")
    await busy.connection.execute("select 1 from holdfast.stream for update")
    await old.connection.execute("begin isolation level repeatable read")
    await old.connection.fetchval("select count(*) from holdfast.event")
    writer = await stage.session("writer")
    one = await append(writer, "a")
    stage.expect(await reader.look() == [one], "a transaction that does not append holds readers back")


async def two_tickers_at_once(stage: Stage) -> None:
    """Processes with different memories tick the same log; one of them died with an old fence."""
    slow, fast = await stage.sessions("slow", "fast")
    another = await stage.session("another")
    reader, second = Reader(stage.watch), Reader(another.connection, 2)
    await slow.begin()
    await append(slow, "a")
    await second.look()
    await append(fast, "b")
    await reader.look()
    third = Reader(another.connection, 3)
    await third.look()
    await fast.begin()
    await append(fast, "c")
    await third.look()
    stage.expect(reader.given == second.given == third.given == [], "an open append was passed")
    await slow.commit()
    await second.look()
    await reader.look()
    await fast.commit()
    for one in (reader, second, third):
        await expect_whole(stage, one)


async def the_sequence_falls_behind_the_log(stage: Stage) -> None:
    """A restore without the sequence: appends are refused, not lost, until the log is adopted."""
    (session,) = await stage.sessions("session")
    reader = Reader(stage.watch)
    await append(session, "a")
    await session.begin()
    hole = await append(session, "b")
    await session.rollback()
    await append(session, "c")
    await reader.look()
    await stage.watch.execute("select setval('holdfast.event_position', $1)", hole - 1)
    stage.expect(await refused(session), "an append below the watermark was accepted")
    await stage.watch.execute("select setval('holdfast.event_position', 1)")
    await stage.watch.fetchrow("select * from holdfast.adopt_log_v1()")
    await append(session, "d")
    await expect_whole(stage, reader)


async def refused(session: Session) -> bool:
    try:
        await append(session, "late")
    except asyncpg.PostgresError as error:
        return bool(error.sqlstate == "HF106")
    return False


EVENT_SCHEDULES: tuple[Schedule, ...] = (
    late_commit_of_an_early_position,
    an_early_transaction_id_appends_late,
    an_earlier_one_of_two_writers_rolls_back,
    a_savepoint_is_rolled_back,
    a_writer_is_prepared_between_two_looks,
    newer_writers_never_end,
    others_write_but_not_to_the_log,
    two_tickers_at_once,
    the_sequence_falls_behind_the_log,
)


async def conditional_append_waits_for_the_other(stage: Stage) -> None:
    """Two decisions over one tag at once: the second looks after the first has committed."""
    one, two = await stage.sessions("one", "two")
    await one.begin()
    stage.expect(await claim(one, "a") is None, "the first decision was refused")
    step = await two.start(claim(two, "b"))
    stage.expect(step.waits, "the second decision did not wait for the first")
    await one.commit()
    stage.expect(await step.result() == "HF102", "both decisions over one tag were accepted")


async def plain_append_beside_a_condition(stage: Stage) -> None:
    """An append without any condition counts for those who have one."""
    plain, deciding = await stage.sessions("plain", "deciding")
    await plain.begin()
    await plain.connection.fetchval(_APPEND, "x", '[{"type": "Taken", "data": {}, "tags": ["other", "name:ada"]}]')
    step = await deciding.start(claim(deciding, "a"))
    stage.expect(step.waits, "a decision did not wait for an append with its tag")
    await plain.commit()
    stage.expect(await step.result() == "HF102", "a decision did not see an append with its tag")


async def bulk_append_beside_a_condition(stage: Stage) -> None:
    """More keys than the lock table should hold become one, which conditions wait for, too."""
    bulk, deciding = await stage.sessions("bulk", "deciding")
    many = ",".join(f'{{"type": "T{n}", "data": {{}}, "tags": ["name:{n}", "name:ada"]}}' for n in range(40))
    await bulk.begin()
    await bulk.connection.fetchval(_APPEND, "bulk", f"[{many}, {many}]".replace("T0", "Taken"))
    step = await deciding.start(claim(deciding, "a"))
    stage.expect(step.waits, "a decision did not wait for a bulk append")
    await bulk.commit()
    stage.expect(await step.result() == "HF102", "a decision did not see a bulk append with its tag")


async def condition_on_a_type_alone(stage: Stage) -> None:
    one, two = await stage.sessions("one", "two")
    await one.begin()
    await append_typed(one, "Invoice")
    other = await two.start(append_typed(two, "Order"))
    stage.expect(not other.waits, "appends of another type wait for each other")
    step = await two.start(claim(two, "a", '{"items": [{"types": ["Invoice"]}]}'))
    stage.expect(step.waits, "a condition on a type did not wait for an append of it")
    await one.commit()
    stage.expect(await step.result() == "HF102", "a condition on a type did not see an append of it")


async def disjoint_conditions(stage: Stage) -> None:
    one, two = await stage.sessions("one", "two")
    await one.begin()
    await claim(one, "a")
    step = await two.start(claim(two, "b", '{"items": [{"tags": ["name:bob"]}]}', tag="name:bob"))
    stage.expect(not step.waits, "decisions over different tags wait for each other")
    stage.expect(await step.result() is None, "a decision over another tag was refused")
    await one.commit()


async def claim(
    session: Session, stream: str, condition: str = '{"items": [{"tags": ["name:ada"]}]}', tag: str = "name:ada"
) -> str | None:
    """Append under a condition; the error's code, or None."""
    event = f'[{{"type": "Claimed", "data": {{}}, "tags": ["{tag}"]}}]'
    statement = "select * from holdfast.append_events($1, $2::text::jsonb, condition => $3::text::jsonb)"
    try:
        await session.connection.fetch(statement, stream, event, condition)
    except asyncpg.PostgresError as error:
        return str(error.sqlstate)
    return None


async def append_typed(session: Session, kind: str) -> Any:
    return await session.connection.fetchval(_APPEND, f"{kind}-1", f'[{{"type": "{kind}", "data": {{}}}}]')


CONDITION_SCHEDULES: tuple[Schedule, ...] = (
    conditional_append_waits_for_the_other,
    plain_append_beside_a_condition,
    bulk_append_beside_a_condition,
    condition_on_a_type_alone,
    disjoint_conditions,
)
