"""The liveness session: it holds what is wanted, whenever somebody comes to want it."""

from __future__ import annotations

import asyncio
from typing import Any

from holdfast import Holdfast
from holdfast.leases.session import LivenessSession

LOCKS = "SELECT objid::int FROM pg_locks WHERE classid = 77 AND pid = $1 ORDER BY 1"


async def test_a_lock_that_is_wanted_while_the_session_opens_is_held(app: Holdfast, outsider: Any) -> None:
    """Without its lock a worker that lives and beats would be taken for dead."""
    taking, go_on = asyncio.Event(), asyncio.Event()

    class Slow(LivenessSession):
        async def _take_back(self, connection: Any, class_id: int, key: int) -> None:
            await super()._take_back(connection, class_id, key)
            taking.set()
            await go_on.wait()

    session = Slow(app.database, answer_seconds=5)
    await session.hold(77, 1)
    await session.hold(77, 2)
    starting = asyncio.create_task(session.start(10))
    await taking.wait()
    await session.hold(77, 3)
    await session.let_go(77, 1)
    go_on.set()
    await starting

    assert [row[0] for row in await outsider.fetch(LOCKS, session.backend_pid)] == [2, 3]
    await session.stop(1)
