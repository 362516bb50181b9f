"""``holdfast event``: the log of events."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, cast

import msgspec
import typer

from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.event_screen import event_lines, event_table, show_state
from holdfast.cli.named_values import named_values
from holdfast.cli.options import AsJson, DatabaseUrl, Yes, help_of
from holdfast.cli.screen import plain, screen
from holdfast.errors import ConfigurationError
from holdfast.events import Event, ExpectedVersion, LogState, RecordedEvent, Scope

events = typer.Typer(name="event", no_args_is_help=True, help="Append, read, tail, status, adopt.")

_UNHEALTHY = 5

_Types = Annotated[list[str] | None, typer.Option("--type", metavar="TYPE", help="only of this type; repeatable")]
_Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="only with this tag; repeatable: all")]
_Categories = Annotated[
    list[str] | None,
    typer.Option("--category", metavar="NAME", help="only of streams named NAME-…; repeatable"),
]


@events.command(
    help=help_of(
        "Append one event to a stream and print its position.",
        "holdfast event append order-1 OrderPlaced number=7",
        "holdfast event append order-1 OrderPaid --data '{\"cents\": 250}' --expected 1",
        "holdfast event append mail-ada@example.org Claimed --expected none",
        more="Exit status 3 when the stream does not stand at the expected version; nothing is appended then.",
    )
)
def append(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="name of the stream")],
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="type of the event")],
    values: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="data by name")] = None,
    data: Annotated[str | None, typer.Option(metavar="JSON", help="data as a JSON object")] = None,
    expected: Annotated[str, typer.Option(metavar="any|none|N", help="where the stream must stand")] = "any",
    tags: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="a tag; repeatable")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="metadata as a JSON object")] = None,
    event_id: Annotated[uuid.UUID | None, typer.Option("--id", metavar="UUID", help="makes a repetition safe")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="idempotency key")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Append an event."""
    event = Event(
        kind,
        named_values(data, values or [], option="--data"),
        id=event_id,
        tags=tuple(tags or ()),
        metadata=named_values(metadata, [], option="--metadata") or None,
    )
    version = _expected(expected)

    doing = Act("event.append", "stream", [stream], after={"type": kind})

    async def work(rooms: Rooms) -> Any:
        return await rooms.events.append(stream, event, expected_version=version, idempotency_key=key)

    done = act(database_url, doing, work)
    if as_json:
        screen.json(done)
        return
    screen.write(str(done.position))
    screen.say(f"{stream} stands at version {done.version}" + (" (was appended before)" if done.repeated else ""))


@events.command(
    help=help_of(
        "Read a stream, or the log in its order.",
        "holdfast event read order-1",
        "holdfast event read --last --limit 20",
        "holdfast event read --after 1200 --type OrderPaid --json | jq -c '.[]'",
        more="A stream is read as it stands; the log as far as it is settled.",
    )
)
def read(
    stream: Annotated[str | None, typer.Argument(metavar="[STREAM]", help="one stream; default: the log")] = None,
    after: Annotated[int, typer.Option(min=0, metavar="POSITION", help="begin after it (version, of a stream)")] = 0,
    since: Annotated[datetime | None, typer.Option(metavar="TIME", help="begin at this moment, in UTC")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, metavar="N", help="at most so many")] = 100,
    last: Annotated[bool, typer.Option("--last", help="the newest ones, newest first")] = False,
    types: _Types = None,
    tags: _Tags = None,
    categories: _Categories = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Read events."""
    scope = _scope(types, tags, categories)
    moment = _in_utc(since)
    if stream is not None and (scope != Scope() or moment is not None):
        raise ConfigurationError(
            "--type, --tag, --category and --since narrow the log down, and a stream is read as it stands",
            remedy="leave them out, or the stream",
        )
    if last and (after or moment is not None):
        raise ConfigurationError("--last begins at the newest event", remedy="leave out --after and --since")

    async def work(app: Holdfast) -> list[RecordedEvent]:
        if stream is not None:
            return await app.events.read_stream(stream, from_version=after + 1, backwards=last, limit=limit)
        await app.events.settled()
        if last:
            return await app.events.read_last(limit, scope=scope)
        return (await app.events.read(after, scope=scope, since=moment, limit=limit)).events

    found = on_application(database_url, work)
    if as_json:
        screen.json([event_lines(event) for event in found])
    elif found:
        screen.out.print(event_table(found))
    else:
        screen.say("no events")


@events.command(
    help=help_of(
        "Print events as they settle, until interrupted; one JSON object a line with --json.",
        "holdfast event tail",
        "holdfast event tail --after 0 --json > events.ndjson",
        "holdfast event tail --category order --type OrderPaid",
    )
)
def tail(
    after: Annotated[
        int | None, typer.Option(min=0, metavar="POSITION", help="begin after it; default: from now on")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, metavar="N", help="end after so many")] = None,
    types: _Types = None,
    tags: _Tags = None,
    categories: _Categories = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Follow the log."""
    scope = _scope(types, tags, categories)

    async def work(app: Holdfast) -> None:
        count = 0
        async for event in app.events.tail(after, scope=scope):
            line = plain(event_lines(event))
            screen.write(msgspec.json.encode(line, enc_hook=str).decode() if as_json else _one_line(event))
            count += 1
            if count == limit:
                return

    on_application(database_url, work)


@events.command(
    help=help_of(
        "How far the log may be read, and who holds readers back. Exit status 5 when appends are refused.",
        "holdfast event status",
    )
)
def status(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Say how the log stands."""

    async def work(app: Holdfast) -> LogState:
        return await app.events.state()

    state = on_application(database_url, work)
    if as_json:
        screen.json({**plain(state), "behind": state.behind})
    else:
        show_state(state)
    if state.behind:
        raise typer.Exit(_UNHEALTHY)


@events.command(
    help=help_of(
        "After a restore or a switch-over: put the sequence behind the last position and publish the whole log.",
        "holdfast event adopt --yes",
        more="Waits for every open append. Do it before anybody appends to the restored database.",
    )
)
def adopt(yes: Yes = False, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Adopt the log of a restored database."""
    if not yes:
        raise ConfigurationError(
            "adopting declares that everything in the log is committed and complete",
            remedy="say --yes if this database was restored or switched over to",
        )
    state = act(database_url, Act("event.adopt", "log"), lambda rooms: rooms.events.adopt(), apart=True)
    if as_json:
        screen.json({**plain(state), "behind": state.behind})
    else:
        show_state(state)


def _expected(text: str) -> ExpectedVersion:
    if text in ("any", "none"):
        return cast("ExpectedVersion", text)
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"--expected is any, none or a version, not {text!r}") from None


def _scope(types: list[str] | None, tags: list[str] | None, categories: list[str] | None) -> Scope:
    return Scope(tuple(types or ()), tuple(tags or ()), tuple(categories or ()))


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _one_line(event: RecordedEvent) -> str:
    data = msgspec.json.encode(event.data).decode()
    return f"{event.position}  {event.recorded_at:%H:%M:%S.%f}  {event.stream}@{event.version}  {event.type}  {data}"
