"""The jobs of the atlas. What they do is in the modules beside; here stands what makes it durable.

Effects are written in the job's own transaction: they commit together with its completion, once. A document or a
repository that cannot be used is final: the item is marked, the job fails without another attempt, the rest goes on.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from holdfast import GiveUp, Holdfast, Job, Retry

from . import graph, store
from .artifacts import ArtifactUnavailable, read_artifact
from .gitlog import HistoryUnavailable, read_history
from .scores import materialise
from .spdx import SbomRejected, read_sbom

SBOM, GITLOG, SCORES = "sbom", "gitlog", "scores"

app = Holdfast()
app.page("/atlas", "Dependency graph", Path(__file__).parent / "page" / "page.js", routes=graph.router)


@app.task(queue=SBOM, retry=Retry(max_attempts=3), transactional=True)
async def process_sbom(job: Job, submission_id: int, directory: str, *, reprocess_failed: bool = False) -> None:
    """Take one submitted document over into the graph."""
    async with app.database.user.acquire() as connection:
        row = await store.submission(connection, submission_id, reprocess_failed=reprocess_failed)
    if row is None:
        return  # it is final already: another attempt, or a run before this one, was faster
    try:
        raw = await asyncio.to_thread(read_artifact, Path(directory), row["artifact_path"])
        sbom = await asyncio.to_thread(read_sbom, raw, row["repository"])
    except (ArtifactUnavailable, SbomRejected) as problem:
        async with app.database.user.acquire() as connection:
            await store.fail_submission(connection, submission_id, str(problem), reprocess_failed=reprocess_failed)
        raise GiveUp(f"{row['repository']}: {problem}") from problem
    async with job.transaction() as tx:
        tx.result = await store.apply_sbom(tx, submission_id, sbom, reprocess_failed=reprocess_failed)


@app.task(queue=GITLOG, retry=Retry(max_attempts=3), transactional=True)
async def process_gitlog(job: Job, path: str) -> None:
    """Take the last 24 months of one repository over; its result is how many people contributed."""
    try:
        history = await asyncio.to_thread(read_history, Path(path), datetime.now(UTC))
    except HistoryUnavailable as problem:
        async with app.database.user.acquire() as connection:
            await store.fail_history(connection, path, str(problem))
        raise GiveUp(str(problem)) from problem
    async with job.transaction() as tx:
        await store.apply_history(tx, path, history)
        tx.result = len(history.contributions)


@app.schedule("37 * * * *", overlap="skip")
@app.task(queue=SCORES, retry=Retry(max_attempts=3), transactional=True)
async def compute_scores(job: Job) -> None:
    """Bring criticality, pony factor and adoption up to date; its result is how many vertices changed."""
    async with job.transaction() as tx:
        tx.result = (await materialise(tx)).changed
