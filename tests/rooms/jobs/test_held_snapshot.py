"""F20: somebody holds an old snapshot, so that nothing dead is cleared away; no statement of a worker grows with it.

Every place and every side table is written and emptied many times. Cost is what PostgreSQL counts (blocks touched by
one statement), never time. The work is done inside the server, a commit for each turn, with the clock moved along.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.interleavings.broken_gates import LINES_HAVE_NO_MARK
from tests.interleavings.stage import Stage
from tests.queue_calls import QueueCalls, lease_number

FEW, MANY = 60, 600
SLACK_BLOCKS = 20
# They keep one row up to date, about once a second, and meet its older versions: a fifth of a block each, or somewhat
# more on a machine that is busy.
ONE_ROW = {"beat", "report", "observe", "fold"}

TURNS = """
DO $turns$
DECLARE
    v_worker  bigint := {worker};
    v_lease   bigint;
    v_jobs    bigint[];
    v_others  integer;
    v_claimed record;
    v_marks   record;
    n         integer;
BEGIN
    SELECT NULL::bigint AS pending, '{{}}'::text[] AS fence, ARRAY[{mark}]::bigint[] AS marks INTO v_marks;
    FOR n IN {first}..{last} LOOP
        PERFORM set_config('holdfast.clock_offset', n || ' s', false);
        v_lease := v_worker << 36 | n * 20;
        PERFORM holdfast.enqueue('t', queue => 'q'), holdfast.enqueue('t', queue => 'q', unique_key => 'k'),
                holdfast.enqueue('t', queue => 'q', run_at => holdfast.now() + interval '1 s'),
                holdfast.enqueue('t', queue => 'q', run_at => holdfast.now() + interval '2 s', unique_key => 'later');
        PERFORM holdfast.promote_v1(holdfast.now() - interval '60 seconds', 100);
        SELECT array_agg(c.job_id ORDER BY c.job_id) AS jobs INTO v_claimed
        FROM holdfast.claim_v1(v_worker, v_lease, 10, '{{q}}', '{{5}}', v_marks.marks) AS c;
        v_jobs := v_claimed.jobs;
        v_others := cardinality(v_jobs) - 1;
        PERFORM holdfast.cancel_v1(v_jobs[1:1], 'no more');
        IF n % 3 = 0 THEN
            PERFORM holdfast.leave_v1(ARRAY[v_lease], v_jobs[1:1], '{{1}}', '{{1000000}}', '{{2}}', '{{q}}', '{{5}}',
                                      '{{0}}', ARRAY['{{}}'::jsonb], '{{0}}', '{{0}}', '{{}}');
        ELSE
            PERFORM holdfast.finish_v1(ARRAY[v_lease], v_jobs[1:1], '{{3}}', '{{1}}', '{{0}}', '{{0}}', NULL, NULL,
                                       '{{q}}', '{{1}}', '{{}}', false);
        END IF;
        PERFORM holdfast.finish_v1(
            array_fill(v_lease, ARRAY[v_others]), v_jobs[2:], array_fill(1::smallint, ARRAY[v_others]),
            array_fill(1::smallint, ARRAY[v_others]), array_fill(0::bigint, ARRAY[v_others]),
            array_fill(0::bigint, ARRAY[v_others]), NULL, NULL, '{{q}}', array_fill(1::smallint, ARRAY[v_others]),
            ARRAY[v_lease], false);
        PERFORM holdfast.beat_v1(v_worker), holdfast.report_running_v2(v_worker, v_jobs, 0, 0), holdfast.fold_v1();
        SELECT m.pending, m.fence, m.marks INTO v_marks
        FROM holdfast.marks_v1('{{q}}', '{{5}}', v_marks.marks, v_marks.pending, v_marks.fence) AS m;
        COMMIT;
    END LOOP;
    PERFORM set_config('test.marks', v_marks.marks[1]::text, false);
END $turns$
"""


async def blocks_of(connection: Any, call: str, *params: Any) -> int:
    """Blocks that this statement touches."""
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {call}", *params)
    plan = json.loads(explained)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


class Turns:
    """One worker's session, and how often it has gone round."""

    def __init__(self, connection: Any, worker: int) -> None:
        self.calls = QueueCalls(connection)
        self.connection = connection
        self.worker = worker
        self.turn = 0

    async def go(self, times: int) -> None:
        mark = "0" if self.turn == 0 else await self.connection.fetchval("SELECT current_setting('test.marks')")
        text = TURNS.format(worker=self.worker, mark=mark, first=self.turn + 1, last=self.turn + times)
        await self.connection.execute(text)
        self.turn += times

    async def costs(self, *, with_marks: bool = True) -> dict[str, int]:
        """Blocks that each of a worker's statements touches now; the least of three."""
        rounds = [await self._round(with_marks=with_marks) for _ in range(3)]
        return {name: min(costs[name] for costs in rounds) for name in rounds[0]}

    async def _round(self, *, with_marks: bool) -> dict[str, int]:
        self.turn += 1
        lease = lease_number(self.worker, self.turn * 20)
        mark = int(await self.connection.fetchval("SELECT current_setting('test.marks')")) if with_marks else 0
        costs: dict[str, int] = {}

        async def cost(name: str, call: str, *params: Any) -> None:
            costs[name] = await blocks_of(self.connection, call, *params)

        await cost("enqueue", "SELECT holdfast.enqueue('t', queue => 'q')")
        await cost("enqueue with a key", "SELECT holdfast.enqueue('t', queue => 'q', unique_key => 'k')")
        await cost(
            "enqueue for later", "SELECT holdfast.enqueue('t', queue => 'q', run_at => holdfast.now() + '1 second')"
        )
        await cost("promote", "SELECT holdfast.promote_v1(holdfast.now() - interval '60 seconds', 100)")
        await cost("claim", f"SELECT holdfast.claim_v1({self.worker}, {lease}, 10, '{{q}}', '{{5}}', ARRAY[{mark}])")
        jobs = await self.connection.fetchval("SELECT job_ids FROM holdfast.lease WHERE id = $1", lease)
        await cost("look for lost leases", f"SELECT holdfast.unknown_leases_v1({self.worker}, {lease}, '{{}}')")
        await cost("look for cancels", f"SELECT FROM holdfast.cancel_request c WHERE c.job_id = ANY ('{{{jobs[0]}}}')")
        await cost(
            "leave",
            f"SELECT holdfast.leave_v1('{{{lease}}}', '{{{jobs[0]}}}', '{{1}}', '{{1000}}', '{{2}}',"
            " '{q}', '{5}', '{0}', ARRAY['{}'::jsonb], '{0}', '{0}', '{}')",
        )
        await cost(
            "finish",
            f"SELECT holdfast.finish_v1('{{{lease}}}', '{{{jobs[1]}}}', '{{1}}', '{{1}}', '{{0}}', '{{0}}', NULL, NULL,"
            " '{q}', '{1}', '{}', false)",
        )
        await self.calls.finish(lease, jobs[2:], done=[lease])
        await cost("beat", f"SELECT holdfast.beat_v1({self.worker})")
        await cost("report", f"SELECT holdfast.report_running_v2({self.worker}, '{{{jobs[0]}}}', 0, 0)")
        await cost("observe", "SELECT holdfast.observe_v1()")
        await cost("watermark", f"SELECT holdfast.marks_v1('{{q}}', '{{5}}', ARRAY[{mark}], 1, '{{}}')")
        await cost("fold", "SELECT holdfast.fold_v1()")
        await cost("look for the dead's leases", "SELECT holdfast.workers_to_rescue_v1()")
        return costs


@asynccontextmanager
async def held_snapshot(url: str) -> AsyncIterator[Turns]:
    """Somebody reads and does not end; beside that, a worker."""
    reader, connection = await asyncpg.connect(url), await asyncpg.connect(url)
    await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    await reader.execute("SELECT count(*) FROM holdfast.job")
    turns = Turns(connection, await QueueCalls(connection).register())
    try:
        yield turns
    finally:
        reader.terminate()
        connection.terminate()


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    slack = {name: MANY // 3 if name in ONE_ROW else SLACK_BLOCKS for name in after}
    return {name: (before[name], after[name]) for name in after if after[name] > before[name] + slack[name]}


async def test_no_statement_grows_while_an_old_snapshot_is_held(database_url: str) -> None:
    async with held_snapshot(database_url) as turns:
        await turns.go(FEW)
        before = await turns.costs()
        await turns.go(MANY)
        after = await turns.costs()

        assert grown(before, after) == {}, (before, after)


async def test_claims_without_a_watermark_are_caught(database_url: str) -> None:
    async with held_snapshot(database_url) as turns:
        await turns.go(FEW)
        before = await turns.costs(with_marks=False)
        await turns.go(MANY)

        assert "claim" in grown(before, await turns.costs(with_marks=False))


async def straight(turns: Turns, times: int) -> int:
    """Claim from the line of a limit so often; blocks that the last claim touched."""
    calls, blocks = turns.calls, 0
    for _ in range(times):
        turns.turn += 1
        lease = lease_number(turns.worker, turns.turn * 100)
        await calls.enqueue(25, gates="limit:l:")
        claim = f"holdfast.claim_v1({turns.worker}, {lease}, 60, '{{q}}', '{{5}}', '{{0}}')"
        blocks = await blocks_of(turns.connection, f"SELECT {claim}")
        jobs = await turns.connection.fetchval("SELECT job_ids FROM holdfast.lease WHERE id = $1", lease)
        await calls.finish(lease, jobs, done=[lease], company=jobs)
    return blocks


async def grows_straight(turns: Turns) -> bool:
    """Whether a claim from a line touches more blocks the more were made before: each leaves a version of one row."""
    await turns.calls.limit("l", 1000)
    await turns.calls.enqueue(130, gates="limit:l:")
    await turns.calls.admit()  # a look lets in a hundred: the others are a line
    before = await straight(turns, FEW)
    after = await straight(turns, MANY // 3)
    assert await turns.connection.fetchval("SELECT is_called FROM holdfast.lease_slot_number")
    return after > before + MANY // 3 // 5 + SLACK_BLOCKS


async def test_claims_straight_from_a_line_do_not_grow(database_url: str) -> None:
    async with held_snapshot(database_url) as turns:
        assert not await grows_straight(turns)


async def test_lines_without_a_mark_are_caught(database_url: str) -> None:
    async with held_snapshot(database_url) as turns:
        async with Stage(database_url) as stage:
            await stage.install(LINES_HAVE_NO_MARK)
        assert await grows_straight(turns)
