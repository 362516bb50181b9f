"""``holdfast queue``: the lines that jobs wait in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

import typer

from holdfast.app import Holdfast, Rooms
from holdfast.cli.acting import Act, act
from holdfast.cli.connection import on_application
from holdfast.cli.options import AsJson, DatabaseUrl, help_of
from holdfast.cli.queue_screen import queue_table
from holdfast.cli.screen import screen
from holdfast.cli.whoever import who
from holdfast.jobs import QueueInfo

queues = typer.Typer(name="queue", no_args_is_help=True, help="List, pause, resume.")

_Name = Annotated[str, typer.Argument(metavar="QUEUE", help="name of the queue")]


@queues.command(name="list", help=help_of("Every queue with what waits in it.", "holdfast queue list"))
def list_queues(database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List queues."""

    async def work(app: Holdfast) -> list[QueueInfo]:
        return await app.queues.list()

    found = on_application(database_url, work)
    if as_json:
        screen.json(found)
    elif found:
        screen.out.print(queue_table(found))
    else:
        screen.say("no queues: no job was enqueued yet, and no worker is live")


@queues.command(
    help=help_of(
        "Claim nothing more from a queue; what runs, runs on.",
        "holdfast queue pause mail --reason 'provider is down'",
    )
)
def pause(
    queue: _Name,
    reason: Annotated[str | None, typer.Option(help="shown wherever the queue is")] = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Pause a queue."""

    async def work(rooms: Rooms) -> tuple[bool, str | None]:
        unheard = unheard_of([queue], [known.name for known in await rooms.queues.list()])
        return await rooms.queues.pause(queue, reason=reason, by=who()), unheard

    changed, unheard = act(database_url, Act("queue.pause", "queue", [queue], reason), work)
    if unheard:
        screen.say(unheard)
    _answer(queue, "paused", changed=changed, as_json=as_json)


@queues.command(help=help_of("Claim from a queue again.", "holdfast queue resume mail"))
def resume(queue: _Name, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Resume a queue."""
    changed = act(database_url, Act("queue.resume", "queue", [queue]), lambda rooms: rooms.queues.resume(queue))
    _answer(queue, "resumed", changed=changed, as_json=as_json)


def unheard_of(asked: Iterable[str], known: list[str]) -> str | None:
    """A sentence about queues that nobody has used, with what may have been meant; None: all are known.

    They are no mistake for sure: a queue comes into being with its first job.
    """
    told = []
    for name in (name for name in asked if name not in known):
        near = difflib.get_close_matches(name, known, n=1)
        told.append(f"nobody has used a queue {name} yet" + (f"; did you mean {near[0]}?" if near else ""))
    return "\n".join(told) or None


def _answer(queue: str, done: str, *, changed: bool, as_json: bool) -> None:
    """Both verbs may be repeated: what was so already is no failure."""
    if as_json:
        screen.json({"queue": queue, "state": done, "changed": changed})
    else:
        already = "was paused already" if done == "paused" else "was not paused"
        screen.say(f"queue {queue} {f'is {done}' if changed else already}")
