"""The metrics parse, and say what is there."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from holdfast import Holdfast, Retry
from holdfast.jobs import Keeper
from holdfast.observe import metrics, roll_up
from tests.situations.places import later


async def values(app: Holdfast) -> dict[tuple[str, frozenset[str]], float]:
    """Every sample, by its name and the values of its labels."""
    text = metrics.expose(await metrics.read_figures(app.database)).decode()
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_they_count_what_was_enqueued_and_what_became_of_it(app: Holdfast, database_url: str) -> None:
    @app.task(queue="mail", retry=Retry(max_attempts=1))
    async def send(n: int) -> None:
        if n == 0:
            raise ValueError("as asked")

    await send.enqueue_many([(n,) for n in range(4)])
    await app.drain(["mail"])
    await send.enqueue_many([(n,) for n in range(3)])
    await app.queues.pause("mail")
    await later(database_url, 40)
    await Keeper(app.database, retention_days=30).fold()
    await roll_up(app.database)
    found = await values(app)

    assert found["holdfast_jobs_finished_total", frozenset({"mail", "completed"})] == 3
    assert found["holdfast_jobs_finished_total", frozenset({"mail", "failed"})] == 1
    assert found["holdfast_job_attempts_total", frozenset({"mail", "error"})] == 1
    assert found["holdfast_queue_depth", frozenset({"mail", "ready"})] == 3
    assert found["holdfast_queue_paused", frozenset({"mail"})] == 1
    assert ("holdfast_queue_oldest_runnable_age_seconds", frozenset({"mail"})) not in found
    assert found["holdfast_job_run_seconds_count", frozenset({"mail"})] == 4
    assert found["holdfast_job_wait_seconds_bucket", frozenset({"mail", "+Inf"})] == 4
    assert found["holdfast_verdict", frozenset({"DEGRADED"})] == 1
    assert found["holdfast_verdict_reasons", frozenset({"paused_with_backlog"})] == 1
    assert 0 < found["holdfast_db_connections_used_ratio", frozenset()] < 1
    assert found["holdfast_db_table_bytes", frozenset({"job"})] > 0


async def test_no_id_is_a_label(app: Holdfast) -> None:
    @app.task
    async def work() -> None: ...

    job_id = await work.enqueue()
    text = metrics.expose(await metrics.read_figures(app.database)).decode()

    assert str(job_id) not in text


async def test_many_scrapes_ask_the_database_once(app: Holdfast) -> None:
    asked: list[str] = []

    class Counting:
        async def fetch(self, statement: object, *params: object, **options: object) -> object:
            asked.append("fetch")
            return await app.database.fetch(statement, *params, **options)  # type: ignore[arg-type]

        async def fetchrow(self, statement: object, *params: object, **options: object) -> object:
            asked.append("fetchrow")
            return await app.database.fetchrow(statement, *params, **options)  # type: ignore[arg-type]

    made = metrics.Metrics(Counting())  # type: ignore[arg-type]
    first = await made.text()
    once = len(asked)

    assert await made.text({"sse_clients": ("Browsers that listen", 3)}) == first + (
        b"# HELP holdfast_sse_clients Browsers that listen\n"
        b"# TYPE holdfast_sse_clients gauge\nholdfast_sse_clients 3.0\n"
    )
    assert len(asked) == once
