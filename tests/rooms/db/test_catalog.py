"""The full schema file is what the migrations make, on every server; and drift is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from holdfast.db import MigrationState, validate
from holdfast.db.catalog import CatalogObject, compare, describe_schema, read_schema, render_schema, shipped_schema

RICH = Path(__file__).with_name("rich_schema.sql")


@pytest.fixture
async def empty(empty_database_url: str) -> Any:
    opened = await asyncpg.connect(empty_database_url)
    yield opened
    await opened.close(timeout=5)


async def test_the_schema_file_is_what_the_migrations_make(outsider: Any) -> None:
    live = await describe_schema(outsider)
    assert compare(shipped_schema(), live) == [], "run `make schema`"
    assert [each.identity for each in shipped_schema()] == [each.identity for each in live]
    assert (await validate(outsider)).ok


async def test_the_schema_file_makes_the_same_schema_in_an_empty_database(outsider: Any, empty: Any) -> None:
    migrated = await describe_schema(outsider)
    await empty.execute(render_schema(shipped_schema()))
    assert await describe_schema(empty) == migrated


async def test_one_of_everything_survives_being_written_and_made_again(empty: Any, outsider: Any) -> None:
    await empty.execute(RICH.read_text())
    described = await describe_schema(empty)
    text = render_schema(described)
    assert [each.identity for each in read_schema(text)] == [each.identity for each in described]
    await outsider.execute("drop schema holdfast cascade")
    await outsider.execute(text)
    assert await describe_schema(outsider) == described
    assert compare(read_schema(text), described) == []


def test_how_versions_of_postgresql_write_a_view_is_no_drift() -> None:
    on_15 = CatalogObject("view", "holdfast.v", "create view holdfast.v as\n SELECT job.id\n   FROM holdfast.job;")
    on_18 = CatalogObject("view", "holdfast.v", "create view holdfast.v as\n SELECT id\n   FROM holdfast.job;")
    other = CatalogObject("view", "holdfast.v", "create view holdfast.v as\n SELECT seq\n   FROM holdfast.job;")
    assert compare([on_18], [on_15]) == []
    assert compare([on_18], [other]) != []


async def test_what_differs_between_installations_is_no_drift(outsider: Any) -> None:
    await outsider.execute("create role holdfast_test_reader")
    try:
        await outsider.execute("grant usage on schema holdfast to holdfast_test_reader")
        await outsider.execute("grant select on holdfast.migration to holdfast_test_reader")
        assert (await validate(outsider)).drift == []
    finally:
        await outsider.execute("drop owned by holdfast_test_reader; drop role holdfast_test_reader")


@pytest.mark.parametrize(
    "change, finding",
    [
        ("alter table holdfast.migration add column extra text", "table holdfast.migration differs"),
        ("alter table holdfast.migration alter column name drop not null", "table holdfast.migration differs"),
        ("alter table holdfast.migration drop constraint migration_version_check", "differs"),
        ("alter table holdfast.migration set (fillfactor = 50)", "differs"),
        ("create index mine on holdfast.migration (name)", "differs"),
        ("grant select on holdfast.migration to public", "differs"),
        ("create table holdfast.mine (id integer)", "table holdfast.mine is not Holdfast's"),
        ("drop function holdfast.now() cascade", "function holdfast.now() is missing"),
        ("revoke all on function holdfast.now() from public", "function holdfast.now() differs"),
    ],
)
async def test_drift_is_named(outsider: Any, change: str, finding: str) -> None:
    await outsider.execute(change)
    validation = await validate(outsider)
    assert not validation.ok
    assert any(finding in each for each in validation.drift), validation.drift


async def test_an_altered_function_shows_the_lines(outsider: Any) -> None:
    await outsider.execute(
        "create or replace function holdfast.now() returns timestamptz language sql volatile parallel safe"
        " as $$ select pg_catalog.now() $$"
    )
    (drift,) = (await validate(outsider)).drift
    assert "+AS $function$ select pg_catalog.now() $function$" in drift


async def test_an_altered_checksum_is_no_valid_schema(outsider: Any) -> None:
    await outsider.execute("update holdfast.migration set checksum = 'x' where version = 1")
    validation = await validate(outsider)
    assert not validation.ok
    assert validation.statuses[0].state is MigrationState.ALTERED


async def test_time_moves_by_a_setting(outsider: Any) -> None:
    offset = "select extract(epoch from holdfast.now() - clock_timestamp())::float8"
    assert abs(await outsider.fetchval(offset)) < 1
    async with outsider.transaction():
        await outsider.execute("set local holdfast.clock_offset = '2 hours'")
        assert abs(await outsider.fetchval(offset) - 7200) < 1
    assert abs(await outsider.fetchval(offset)) < 1
