"""``holdfast projection``: what people see of projections and do to them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.locate import load_application
from holdfast.cli.options import AppPath, AsJson, DatabaseUrl, Yes, help_of
from holdfast.cli.projection_run import RUN_HELP, run
from holdfast.cli.projection_screen import lag_table, parked_table, projection_table
from holdfast.cli.screen import number, screen
from holdfast.cli.watching import watch
from holdfast.db import DRIVER_ERRORS
from holdfast.errors import ConfigurationError, DatabaseUnavailable
from holdfast.events import projections as projecting

projections = typer.Typer(
    name="projection",
    no_args_is_help=True,
    help="List, lag, health, pause, resume, reset, rebuild, switch, roll back, park, unpark, run.",
)
projections.command(help=RUN_HELP)(run)

_UNHEALTHY = 5
_Name = Annotated[str, typer.Argument(metavar="NAME", help="name of the projection")]
_MaybeName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="one projection; default: all")]
_Stream = Annotated[str, typer.Argument(metavar="STREAM", help="name of the stream")]
_Timeout = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="how long to wait for it")]


@projections.command(
    name="list",
    help=help_of(
        "Every projection: who serves it, how far it is, what waits for a person.",
        "holdfast projection list",
        "holdfast projection list --json | jq '.[] | select(.problems != [])'",
    ),
)
def list_projections(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List projections."""
    found = on_application(database_url, lambda app: app.projections.list())
    if as_json:
        screen.json(found)
    elif not found:
        screen.say("no projections: no worker of an application that declares one has started yet")
    else:
        screen.out.print(projection_table(found))
        for each in found:
            for problem in each.problems:
                screen.say(f"{each.name}: {problem}")


@projections.command(
    help=help_of(
        "How far each partition is behind, in events and in seconds, and who holds it.",
        "holdfast projection lag open_orders",
        "holdfast projection lag --watch",
        more="Events are counted that the projection is for; the age is that of the oldest of them. An idle projection "
        "has no lag.",
    )
)
def lag(
    name: _MaybeName = None,
    every: Annotated[bool, typer.Option("--every", help="also partitions without lag")] = False,
    watched: Annotated[bool, typer.Option("--watch", help="look again every second until Ctrl-C")] = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Lag per partition."""

    async def look(app: Holdfast) -> list[projecting.PartitionLag]:
        found = await app.projections.lag(name)
        return found if every or as_json else [each for each in found if each.lag_events or each.failing]

    def show(found: list[projecting.PartitionLag]) -> Any:
        return lag_table(found) if found else "nothing waits"

    if watched:
        watch(database_url, look, show)
        return
    found = on_application(database_url, look)
    if as_json:
        screen.json(found)
    else:
        screen.out.print(show(found))


@projections.command(
    help=help_of(
        "One verdict about all projections, or one. Exit status 5 unless it is healthy.",
        "holdfast projection health --json",
        "holdfast projection health open_orders --threshold 1000",
        more="Unhealthy: nothing is served, a projection or one of its fixed keys has no live worker, an event "
        "stopped it, or it is further behind than the threshold. Paused and retired projections are not asked for.",
    )
)
def health(
    name: _MaybeName = None,
    threshold: Annotated[
        int, typer.Option(min=0, metavar="EVENTS", help="how many events may wait")
    ] = projecting.DEFAULT_THRESHOLD,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Say whether all is well."""
    try:
        found = projecting.judge(on_application(database_url, lambda app: app.projections.list(name)), threshold)
    except (*DRIVER_ERRORS, DatabaseUnavailable) as error:
        found = projecting.unreachable(str(error).splitlines()[0], threshold)
    if as_json:
        screen.json(found)
    else:
        behind = "" if found.lag is None else f"  {number(found.lag)} events behind at most"
        screen.write(f"{found.status}{behind}")
        if found.error:
            screen.say(found.error)
    raise typer.Exit(0 if found.ok else _UNHEALTHY)


@projections.command(
    help=help_of(
        "Apply nothing more; once this returns nothing is under way.",
        "holdfast projection pause open_orders --reason 'table is being repaired'",
    )
)
def pause(
    name: _Name,
    reason: Annotated[str | None, typer.Option(help="shown wherever the projection is")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Pause a projection."""
    changed = act(
        database_url, _doing("pause", name, reason), lambda rooms: rooms.projections.pause(name, reason=reason)
    )
    _answer(name, "paused", "was paused already", changed=changed, as_json=as_json)


@projections.command(
    help=help_of(
        "Go on after a pause, after a stop at an event that failed, or after a retirement.",
        "holdfast projection resume open_orders",
    )
)
def resume(name: _Name, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Resume a projection."""
    changed = act(database_url, _doing("resume", name), lambda rooms: rooms.projections.resume(name))
    _answer(name, "resumed", "was running", changed=changed, as_json=as_json)


@projections.command(
    help=help_of(
        "The projection is no longer in use: nobody serves it, health does not ask for it.",
        "holdfast projection retire old_report",
        more="Its tables and checkpoints stay; resume brings it back.",
    )
)
def retire(name: _Name, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Retire a projection."""
    changed = act(database_url, _doing("retire", name), lambda rooms: rooms.projections.retire(name))
    _answer(name, "retired", "was retired already", changed=changed, as_json=as_json)


@projections.command(
    help=help_of(
        "Empty the read model and handle every event again, without making its effects again.",
        "holdfast projection reset open_orders --yes",
        "holdfast projection reset audit --keep-rows --to 81000 --yes",
        more="The read model is incomplete until it has caught up; `rebuild` makes a new one beside it instead.",
    )
)
def reset(
    name: _Name,
    to: Annotated[int, typer.Option(min=0, metavar="POSITION", help="begin after this position")] = 0,
    keep_rows: Annotated[bool, typer.Option("--keep-rows", help="empty nothing; the handler bears repeats")] = False,
    yes: Yes = False,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Reset a projection."""
    if not yes:
        raise ConfigurationError(f"reset makes the read model of {name!r} anew", remedy="say --yes")
    doing = _doing("reset", name)
    doing.after = {"to": to, "keep_rows": keep_rows}
    act(database_url, doing, lambda rooms: rooms.projections.reset(name, to=to, keep_rows=keep_rows))
    _answer(name, "reset", "", changed=True, as_json=as_json)


@projections.command(
    help=help_of(
        "Build a new read model beside the live one.",
        "holdfast projection rebuild open_orders --app shop.tasks:app",
        "holdfast projection rebuild open_orders --switch --timeout 3600",
        "holdfast projection rebuild open_orders --abandon",
        more="Its tables are made like the live ones, in a schema of their own; --app runs the projection's setup on "
        "them. Workers that have the code fill it, without effects. `switch` makes it live.",
    )
)
def rebuild(
    name: _Name,
    switch_too: Annotated[bool, typer.Option("--switch", help="wait for it, and make it live")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="give up the one that is being built")] = False,
    timeout_seconds: _Timeout = 3600.0,
    app: AppPath = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild a projection beside the live one."""
    application = load_application(app) if app else None
    declared = application.declared_projections([name])[0] if application else None

    async def work(rooms: Rooms) -> int:
        models = rooms.projections.models
        if abandon:
            return await models.drop(name)
        version, setup = (declared.version, declared.setup) if declared else (None, None)
        model = await models.rebuild(name, version=version, setup=setup)
        return await models.switch(name, timeout_seconds=timeout_seconds) if switch_too else model

    doing = _doing("abandon" if abandon else "rebuild", name)
    model = act(database_url, doing, work, application, apart=not abandon)
    done = "abandoned" if abandon else "live" if switch_too else "building"
    _tell_model(name, model, done, as_json=as_json)


@projections.command(
    help=help_of(
        "Make the model that was built the live one, in one transaction.",
        "holdfast projection switch open_orders",
        more="The live model stands still until the other has reached it. The former stays, and is kept up to date: "
        "`roll-back` returns to it.",
    )
)
def switch(
    name: _Name, timeout_seconds: _Timeout = 30.0, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Switch to the model that was built."""
    model = act(
        database_url,
        _doing("switch", name),
        lambda rooms: rooms.projections.models.switch(name, timeout_seconds=timeout_seconds),
        apart=True,
    )
    _tell_model(name, model, "live", as_json=as_json)


@projections.command(
    name="roll-back",
    help=help_of("Make the former model live again.", "holdfast projection roll-back open_orders"),
)
def roll_back(
    name: _Name, timeout_seconds: _Timeout = 30.0, database_url: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Go back to the model that was live before."""
    model = act(
        database_url,
        _doing("rollback", name),
        lambda rooms: rooms.projections.models.roll_back(name, timeout_seconds=timeout_seconds),
        apart=True,
    )
    _tell_model(name, model, "live", as_json=as_json)


@projections.command(help=help_of("The streams that wait, and why.", "holdfast projection parked open_orders"))
def parked(name: _Name, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List parked streams."""
    found = on_application(database_url, lambda app: app.projections.parked(name))
    if as_json:
        screen.json(found)
    elif found:
        screen.out.print(parked_table(found))
    else:
        screen.say("nothing is parked")


@projections.command(
    help=help_of(
        "Let the events of one stream wait from here on; others go on.",
        "holdfast projection park open_orders order-42 --reason 'disputed'",
    )
)
def park(
    name: _Name,
    stream: _Stream,
    reason: Annotated[str | None, typer.Option(help="shown wherever the stream is")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Park a stream."""
    doing = _doing("park", name, reason)
    doing.after = {"stream": stream}
    act(database_url, doing, lambda rooms: rooms.projections.park(name, stream, reason=reason))
    _tell_stream(name, stream, "parked", as_json=as_json)


@projections.command(
    help=help_of(
        "Handle a parked stream from where it stopped; or pass over the event it waits at.",
        "holdfast projection unpark open_orders order-42",
        "holdfast projection unpark open_orders --all",
        "holdfast projection unpark open_orders order-42 --skip --reason 'duplicate of order-41'",
    )
)
def unpark(
    name: _Name,
    stream: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="name of the stream")] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="every parked stream")] = False,
    skip: Annotated[bool, typer.Option("--skip", help="pass over the event it waits at; needs --reason")] = False,
    reason: Annotated[str, typer.Option(help="why the event is skipped; kept for ever")] = "",
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Unpark streams."""
    if (stream is None) != all_of_them or (skip and stream is None):
        raise ConfigurationError("name one stream, or say --all (not with --skip)")

    doing = _doing("skip" if skip else "unpark", name, reason or None)
    doing.after = {"stream": stream}

    async def work(rooms: Rooms) -> tuple[int, int | None]:
        if skip and stream is not None:
            return 1, await rooms.projections.skip(name, stream, reason=reason)
        return await rooms.projections.unpark(name, stream), None

    count, position = act(database_url, doing, work)
    if as_json:
        screen.json({"projection": name, "streams": count, "skipped_position": position})
    elif position is not None:
        screen.say(f"{name}: event {position} of {stream} is passed over")
    else:
        screen.say(f"{name}: {number(count)} streams are handled again" if count else f"{name}: nothing was parked")


def _doing(verb: str, name: str, reason: str | None = None) -> Act:
    return Act(f"projection.{verb}", "projection", [name], reason)


def _answer(name: str, done: str, already: str, *, changed: bool, as_json: bool) -> None:
    """Verbs may be repeated: what was so already is no failure."""
    if as_json:
        screen.json({"projection": name, "state": done, "changed": changed})
    else:
        screen.say(f"projection {name} {f'is {done}' if changed else already}")


def _tell_model(name: str, model: int, state: str, *, as_json: bool) -> None:
    if as_json:
        screen.json({"projection": name, "model": model, "state": state})
    else:
        screen.say(f"projection {name}: model {model} is {state}")


def _tell_stream(name: str, stream: str, state: str, *, as_json: bool) -> None:
    if as_json:
        screen.json({"projection": name, "stream": stream, "state": state})
    else:
        screen.say(f"projection {name}: stream {stream} is {state}")
