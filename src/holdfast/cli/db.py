"""``holdfast db``: the schema and what is kept in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from holdfast.app import Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import bare_database
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.screen import ago, screen, table
from holdfast.db import (
    Database,
    Migration,
    MigrationState,
    MigrationStatus,
    Validation,
    migrate,
    migration_script,
    migration_status,
    validate,
    wait_for_schema,
)
from holdfast.jobs import Keeper, declare_partition_days
from holdfast.settings import Settings, load_settings
from holdfast.telemetry import subscribe

schema = typer.Typer(name="db", no_args_is_help=True, help="Migrate, look, wait, validate, prune.")

_UNHEALTHY = 5


async def bring_up_to_date(database: Database, settings: Settings) -> Sequence[Migration]:
    """Migrate, with a bar on stderr if somebody looks."""
    connection = await database.connect_apart()
    try:
        pending = [one for one in await migration_status(connection) if one.state is MigrationState.PENDING]
        columns = (TextColumn("migrating"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[name]}"))
        console = screen.err
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            bar = progress.add_task("migrate", total=len(pending), name="")

            def advance(event: str, fields: Mapping[str, Any]) -> None:
                if event == "db.migration.applied":
                    progress.update(bar, advance=1, name=fields["migration"])

            unsubscribe = subscribe(advance)
            try:
                done = await migrate(connection)
            finally:
                unsubscribe()
    finally:
        await connection.close()
    if done:
        await declare_partition_days(database, settings.partition_days)
    return done


@schema.command(
    name="migrate",
    help=help_of(
        "Bring the schema up to date; any number of processes may try at once.",
        "holdfast db migrate",
        "holdfast db migrate --sql > migrations.sql   # for somebody else to run",
    ),
)
def migrate_command(
    sql: Annotated[bool, typer.Option("--sql", help="print what is pending as a script, change nothing")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring the schema up to date."""
    settings = load_settings({"database_url": database_url})
    if sql:
        _print_pending(settings)
        return

    async def work() -> Sequence[Migration]:
        async with bare_database(settings) as database:
            return await bring_up_to_date(database, settings)

    done = asyncio.run(work())
    if as_json:
        screen.json({"applied": [migration.filename for migration in done]})
        return
    for migration in done:
        screen.say(f"applied {migration.filename}")
    screen.say(f"the schema is up to date{'' if done else '; nothing was to be done'}")


@schema.command(
    help=help_of("Which migrations are applied. Exit status 5 when one is missing or altered.", "holdfast db status")
)
def status(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Show how program and database stand to each other."""
    found = asyncio.run(_statuses(load_settings({"database_url": database_url})))
    if as_json:
        screen.json([{**_line(one), "applied_at": one.applied_at} for one in found])
    else:
        lines = table("VERSION", "NAME", "STATE", "APPLIED")
        for one in found:
            lines.add_row(f"{one.version:04d}", one.name, one.state.value, ago(one.applied_at))
        screen.out.print(lines)
    if any(one.state is not MigrationState.APPLIED for one in found):
        raise typer.Exit(_UNHEALTHY)


@schema.command(
    help=help_of(
        "Wait for the server and its schema: for start-up scripts. Exit status 6 when they do not come in time.",
        "holdfast db wait --timeout 60 && exec my-service",
    )
)
def wait(
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="give up after so long")] = 60.0,
    database_url: DatabaseUrl = None,
) -> None:
    """Wait for the schema."""
    settings = load_settings({"database_url": database_url})

    async def work() -> None:
        if settings.database_url is None:
            async with bare_database(settings) as database:
                await wait_for_schema(database.connect_apart, timeout)
        else:
            database = Database(settings.database_url, direct_url=settings.database_direct_url, pooled=settings.pooled)
            await wait_for_schema(database.connect_apart, timeout)

    asyncio.run(work())
    screen.say("the schema is there")


@schema.command(
    name="validate",
    help=help_of("Compare the live schema with the program's. Exit status 5 when they differ.", "holdfast db validate"),
)
def validate_command(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Look for drift."""
    settings = load_settings({"database_url": database_url})

    async def work() -> Validation:
        async with bare_database(settings) as database:
            connection = await database.connect_apart()
            try:
                return await validate(connection)
            finally:
                await connection.close()

    found = asyncio.run(work())
    wrong = [_line(one) for one in found.statuses if one.state is not MigrationState.APPLIED]
    if as_json:
        screen.json({"ok": found.ok, "migrations": wrong, "drift": list(found.drift)})
    else:
        for line in wrong:
            screen.write(f"migration {line['version']:04d}_{line['name']} is {line['state']}")
        for difference in found.drift:
            screen.write(difference)
        screen.say("the schema is as the program made it" if found.ok else "the schema differs from the program's")
    if not found.ok:
        raise typer.Exit(_UNHEALTHY)


@schema.command(
    help=help_of("Print all migrations as one script for psql.", "holdfast db sql | psql -v ON_ERROR_STOP=1 mydb")
)
def sql(
    after: Annotated[int, typer.Option(metavar="VERSION", help="only later ones than this version")] = 0,
) -> None:
    """Print the schema as a script."""
    typer.echo(migration_script(after=after), nl=False)


@schema.command(
    help=help_of(
        "Let go of finished jobs beyond the retention now; workers do it every hour.",
        "holdfast db prune",
        more="The setting retention_days says how long finished jobs are kept; whole partitions are dropped.",
    )
)
def prune(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Drop expired history."""
    settings = load_settings({"database_url": database_url})
    doing = Act("database.prune", "database")

    async def work(rooms: Rooms) -> int:
        keeper = Keeper(rooms.database, retention_days=settings.retention_days, job_log_days=settings.job_log_days)
        dropped = await keeper.retain()
        doing.after = {"partitions_dropped": dropped}
        return dropped

    dropped = act(database_url, doing, work, apart=True)
    if as_json:
        screen.json({"partitions_dropped": dropped})
    else:
        screen.say(f"{dropped} partitions dropped")


def _print_pending(settings: Settings) -> None:
    applied = [one for one in asyncio.run(_statuses(settings)) if one.state is not MigrationState.PENDING]
    typer.echo(migration_script(after=max((one.version for one in applied), default=0)), nl=False)


async def _statuses(settings: Settings) -> list[MigrationStatus]:
    async with bare_database(settings) as database:
        connection = await database.connect_apart()
        try:
            return await migration_status(connection)
        finally:
            await connection.close()


def _line(one: MigrationStatus) -> dict[str, Any]:
    return {"version": one.version, "name": one.name, "state": one.state.value}
