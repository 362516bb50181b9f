from __future__ import annotations
import asyncio, json
from holdfast import Holdfast
from holdfast.events.projections.declaration import Projection
from holdfast.events.projections.handling import OneByOne
from holdfast.events.projections.service import Projectors
from holdfast.events.projections.projector import ProjectorOptions
from tests.waiting import eventually


async def test_smoke(app: Holdfast, outsider):
    await outsider.execute("create table total(stream text primary key, n int not null)")
    for i in range(20):
        await outsider.execute("select holdfast.append_events($1, $2::text::jsonb)", f"order-{i%5}", json.dumps([{"type": "Placed", "data": {"n": i}}]))
    await outsider.execute("select holdfast.tick_v1(null, null)")

    async def handler(tx, event):
        await tx.execute("insert into total values ($1, 1) on conflict (stream) do update set n = total.n + 1", event.stream)

    p = Projection("totals", "model", OneByOne(handler, lambda d: d.event, timeout_seconds=5))
    ps = Projectors(app.database, [p], ProjectorOptions(until_caught_up=True))
    await ps.declare()
    await asyncio.wait_for(ps.run(), 20)
    assert await outsider.fetchval("select sum(n) from total") == 20
    print(await outsider.fetch("select * from holdfast.projection_partition limit 3"))
