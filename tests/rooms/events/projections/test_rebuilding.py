"""A second model beside the live one: built, switched to in one transaction, kept up to date, gone back to."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.errors import ProjectionError, RebuildRefused, TimedOut
from tests.rooms.events.projections.serving import Log, drain, note, serving
from tests.waiting import eventually


async def totals(tx: Any, event: Any) -> None:
    await tx.execute(
        "insert into total (stream, n) values ($1, 1) on conflict (stream) do update set n = total.n + 1", event.stream
    )


@pytest.fixture
async def log(log: Log) -> Log:
    await log.connection.execute("create table total (stream text primary key, n int not null)")
    return log


async def in_total(log: Log, schema: str = "") -> int:
    table = f"{schema}.total" if schema else "total"
    return int(await log.connection.fetchval(f"select coalesce(sum(n), 0) from {table}"))


async def test_the_live_model_is_read_until_the_switch_and_both_are_right(app: Holdfast, log: Log) -> None:
    app.projection("totals", tables="total")(totals)
    await log.fill(streams=10, events=5)
    async with serving(app):
        await eventually(lambda: _counts(log, 50))
        await log.connection.execute("update total set n = n + 1000")  # a bug of the past
        model = await app.projections.models.rebuild("totals")
        await log.fill(streams=10, events=2)
        await eventually(lambda: _counts(log, 10_070))
        assert await app.projections.models.switch("totals") == model == 2
        assert await in_total(log) == 70
        await log.fill(streams=10, events=1)
        await eventually(lambda: _counts(log, 80))
        await eventually(lambda: _counts(log, 10_080, "holdfast_totals_1"))
        (info,) = await app.projections.list()
        assert (info.model, info.kept, info.building) == (2, 1, None)

        assert await app.projections.models.roll_back("totals") == 1
        assert await in_total(log) == 10_080
        await log.fill(streams=10, events=1)
        await eventually(lambda: _counts(log, 10_090))
        await eventually(lambda: _counts(log, 90, "holdfast_totals_2"))
    schemas = await log.connection.fetch("select nspname from pg_namespace where nspname like 'holdfast_totals%'")
    assert [row[0] for row in schemas] == ["holdfast_totals_2"]


async def _counts(log: Log, count: int, schema: str = "") -> bool:
    return await in_total(log, schema) == count


async def test_readers_see_the_old_or_the_new_and_keep_their_rights(app: Holdfast, log: Log) -> None:
    app.projection("totals", tables="total")(totals)
    role = "holdfast_test_projection_reader"
    await log.connection.execute(f"create role {role}")
    try:
        await log.connection.execute(f"grant select on total to {role}; create index on total (n)")
        await log.fill(streams=3, events=1)
        async with serving(app):
            await app.projections.models.rebuild("totals")
            await app.projections.models.switch("totals")
        assert await log.connection.fetchval("select has_table_privilege($1, 'total', 'select')", role)
        indexes = await log.connection.fetchval(
            "select count(*) from pg_indexes where tablename = 'total' and schemaname = current_schema()"
        )
        assert indexes == 2
    finally:
        await log.connection.execute(f"drop owned by {role}; drop role {role}")


async def test_newer_code_fills_its_own_model_and_older_code_goes_on_with_the_live_one(
    app: Holdfast, log: Log, database_url: str
) -> None:
    app.projection("totals", tables="total")(totals)
    await log.fill(streams=5, events=2)

    async def wider(tx: Any) -> None:
        await tx.execute("alter table total add column last bigint")

    async def better(tx: Any, event: Any) -> None:
        await tx.execute(
            "insert into total (stream, n, last) values ($1, 1, $2)"
            " on conflict (stream) do update set n = total.n + 1, last = $2",
            event.stream,
            event.position,
        )

    newer = Holdfast(database_url)
    newer.projection("totals", tables="total", version=2, setup=wider)(better)
    async with newer, serving(app), serving(newer):
        await eventually(lambda: _counts(log, 10))
        (info,) = await app.projections.list()
        assert info.problems == ["code of version 2 is deployed, and no model of it is being built"]
        await newer.projections.models.rebuild("totals", setup=wider)
        await log.fill(streams=5, events=1)
        await eventually(lambda: _counts(log, 15, "holdfast_totals_2"))
        await eventually(lambda: _counts(log, 15))
        await newer.projections.models.switch("totals")
        assert await log.connection.fetchval("select count(last) from total") == 5


async def test_what_cannot_be_done_says_what_to_do(app: Holdfast, log: Log) -> None:
    app.projection("bare")(note)
    app.projection("totals", tables="total")(totals)
    await drain(app)
    models = app.projections.models
    with pytest.raises(RebuildRefused, match="declare the tables"):
        await models.rebuild("bare")
    with pytest.raises(RebuildRefused, match="no model is being built"):
        await models.switch("totals")
    with pytest.raises(RebuildRefused, match="no former model"):
        await models.roll_back("totals")
    await models.rebuild("totals")
    with pytest.raises(RebuildRefused, match="being built already"):
        await models.rebuild("totals")
    assert await models.drop("totals") == 2
    assert await log.connection.fetchval("select to_regnamespace('holdfast_totals_2')") is None


async def test_a_switch_to_a_model_nobody_fills_changes_nothing_in_time(app: Holdfast, log: Log) -> None:
    app.projection("totals", tables="total")(totals)
    await log.fill(streams=5, events=2)
    await drain(app)
    await app.projections.models.rebuild("totals", version=2)
    async with serving(app):
        with pytest.raises(TimedOut, match="nothing was switched"):
            await app.projections.models.switch("totals", timeout_seconds=0.3)
        await log.fill(streams=5, events=1)
        await eventually(lambda: _counts(log, 15))


async def test_a_reset_empties_the_read_model_and_makes_it_again(app: Holdfast, log: Log) -> None:
    app.projection("totals", tables="total")(totals)
    app.projection("bare")(note)
    await log.fill(streams=5, events=2)
    async with serving(app):
        await eventually(lambda: _counts(log, 10))
        await log.connection.execute("update total set n = 77")
        await app.projections.reset("totals")
        await eventually(lambda: _counts(log, 10))
        with pytest.raises(ProjectionError, match="declares no tables"):
            await app.projections.reset("bare")
        await app.projections.reset("bare", keep_rows=True)

        async def twice() -> bool:
            return len(await log.seen()) == 20

        await eventually(twice)


async def test_pause_is_over_when_it_returns_and_resume_goes_on(app: Holdfast, log: Log) -> None:
    app.projection("totals", tables="total")(totals)
    async with serving(app):
        await log.fill(streams=3, events=1)
        await eventually(lambda: _counts(log, 3))
        assert await app.projections.pause("totals", reason="repair")
        assert not await app.projections.pause("totals", reason="repair")
        await log.fill(streams=3, events=1)
        await drain(app)
        assert await in_total(log) == 3
        (info,) = await app.projections.list()
        assert (info.state, info.pause_reason) == ("paused", "repair")
        assert await app.projections.resume("totals")
        await eventually(lambda: _counts(log, 6))
