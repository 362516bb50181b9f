"""The log as files: in its order, whole, resumable, and read without loss or repeat whatever happened in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from holdfast import Holdfast
from tests.rooms.events.projections.serving import Log, drain, serving, shares
from tests.waiting import eventually


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def read_feed(folder: Path, after: int = 0) -> list[dict[str, Any]]:
    """As a warehouse would: by name, passing over what it has."""
    events = []
    for file in files_in(folder):
        for line in file.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["position"] > after:
                events.append(event)
                after = event["position"]
    return events


async def test_every_event_once_in_the_order_of_the_log(app: Holdfast, log: Log, tmp_path: Path) -> None:
    app.feed("warehouse", tmp_path, batch=20)
    await log.fill(streams=25, events=4)
    await drain(app)
    events = read_feed(tmp_path)
    assert [event["position"] for event in events] == await log.all_positions()
    assert max(len(file.read_text(encoding="utf-8").splitlines()) for file in files_in(tmp_path)) <= 20
    assert events[0]["data"] == {"n": 0}
    assert [file.suffix for file in files_in(tmp_path)] == [".ndjson"] * len(files_in(tmp_path))
    await log.fill(streams=5, events=1)
    await drain(app)
    assert [event["position"] for event in read_feed(tmp_path)] == await log.all_positions()
    assert len(read_feed(tmp_path, after=events[-1]["position"])) == 5


async def test_a_file_whose_checkpoint_was_lost_comes_again_and_does_no_harm(
    app: Holdfast, log: Log, tmp_path: Path
) -> None:
    app.feed("warehouse", tmp_path)
    await log.fill(streams=5, events=2)
    await drain(app)
    await log.connection.execute("update holdfast.projection_partition set checkpoint = 4")
    await log.fill(streams=5, events=1)
    await drain(app)
    assert len(files_in(tmp_path)) == 2
    assert [event["position"] for event in read_feed(tmp_path)] == await log.all_positions()


async def test_a_second_process_stands_by_and_takes_over(app: Holdfast, log: Log, tmp_path: Path) -> None:
    app.feed("warehouse", tmp_path, gather_seconds=0)
    async with serving(app) as second:
        async with serving(app) as first:
            await shares(first, second, sizes=[0, 64])
            await log.fill(streams=5, events=1)
        await shares(second, sizes=[64])
        await log.fill(streams=5, events=1)

        async def all_there() -> bool:
            return [event["position"] for event in read_feed(tmp_path)] == await log.all_positions()

        await eventually(all_there)

        async def refused_no_more() -> bool:
            (info,) = await app.projections.list()
            return "refused" not in " ".join(info.problems)

        await eventually(refused_no_more)
