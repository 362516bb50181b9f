"""A process that lives as a worker and tells on stdout what it hears; tests kill and stop it.

python living.py '{"url": ..., "limits": {...}, "pooled": null, "opaque": false}'
"""

from __future__ import annotations

import asyncio
import json
import sys

from msgspec.structs import replace

from holdfast.db import Database, Statement
from holdfast.leases import Limits, Liveness, Station, WorkerFacts


async def rescue(database: Database, worker: int) -> int:
    """What the room of jobs does, which stands above this one."""
    return int(await database.fetchval(Statement("rescue", "SELECT holdfast.rescue_v1($1::bigint, 3)"), worker))


def tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def main(url: str, limits: dict[str, float], *, pooled: bool | None, opaque: bool) -> None:
    async with Station(url, pooled=pooled, limits=Limits(**limits), rescue=rescue) as station:
        liveness = Liveness(
            station.session,
            station.limits,
            on_lost=lambda reason: tell("lost", reason),
            on_cut_off=lambda: tell("cut_off"),
            on_restored=lambda: tell("restored"),
            on_beat=lambda _: tell("beat"),
        )
        facts = WorkerFacts(name="living", queues=("default",), concurrency=1)
        if opaque:
            # As if on another machine: nobody can look it up.
            facts = replace(facts, incarnation="opaque:elsewhere")
        tell("registered", await liveness.register(facts))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
