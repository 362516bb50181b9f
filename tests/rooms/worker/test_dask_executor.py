"""Tasks on a Dask cluster: a real scheduler and workers in processes of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from distributed import LocalCluster

from holdfast import Holdfast
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.worker import elsewhere_tasks as tasks
from tests.rooms.working import working
from tests.waiting import eventually


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    async with LocalCluster(
        n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0", asynchronous=True
    ) as made:
        yield made


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Holdfast]:
    tasks.app.configure(database_url)
    async with tasks.app:
        yield tasks.app


async def test_a_cluster_runs_jobs_and_their_errors_come_back(app: Holdfast, cluster: LocalCluster) -> None:
    good, bad = await tasks.square.enqueue(12), await tasks.fail_over_there.enqueue()
    async with working(app, ("dask",), dask_address=cluster.scheduler_address):
        assert await app.jobs.result(good, timeout_seconds=40) == 144
        info = await app.jobs.wait(bad, timeout_seconds=40)
    assert info.error is not None
    assert (info.error["type"], info.error["message"]) == ("Strange", "attempt 1")
    (link,) = await app.jobs.history(good)
    assert (link["what"], link["engine"], link["attempt"]) == ("linked", "dask", 1)
    assert str(good) in link["external_id"]


async def test_a_worker_of_the_cluster_that_dies_costs_no_attempt(
    app: Holdfast, cluster: LocalCluster, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    job_id = await tasks.hold_on.enqueue(str(file))
    async with working(app, ("dask",), dask_address=cluster.scheduler_address):
        # Not only there: killed before its word is written, the second would be the first.
        await eventually(lambda: file.exists() and file.read_text() == "x", within_seconds=30)
        (nanny,) = cluster.workers.values()
        os.kill(nanny.pid, signal.SIGKILL)  # the cluster starts another, and the attempt again
        assert await app.jobs.result(job_id, timeout_seconds=50) == "xx"
        assert (await app.jobs.show(job_id)).attempt == 1


async def test_a_cancel_frees_the_job_at_once(app: Holdfast, cluster: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "log"
    job_id = await tasks.hold_on.enqueue(str(file))
    async with working(app, ("dask",), dask_address=cluster.scheduler_address):
        await eventually(file.exists, within_seconds=30)
        await app.jobs.cancel(job_id, reason="enough")
        info = await app.jobs.wait(job_id, timeout_seconds=20)
        file.unlink()
    assert (info.state, info.error) == ("cancelled", {"type": "Cancelled", "message": "enough"})
    await assert_conserved(app.database)


async def test_a_cluster_that_goes_away_is_a_loss_nobody_is_blamed_for(
    app: Holdfast, cluster: LocalCluster, tmp_path: Path
) -> None:
    file = tmp_path / "log"
    job_id = await tasks.hold_on.enqueue(str(file))
    async with working(app, ("dask",), dask_address=cluster.scheduler_address):
        await eventually(file.exists, within_seconds=30)
        await cluster.close()

        async def lost() -> bool:
            return any(event["what"] == "lost" for event in await app.jobs.history(job_id))

        await eventually(lost, within_seconds=40)
    (event,) = [event for event in await app.jobs.history(job_id) if event["what"] == "lost"][:1]
    assert not event["counted"]
    assert (await app.jobs.show(job_id)).state == "ready"
    assert (await app.jobs.show(job_id)).attempt == 1
