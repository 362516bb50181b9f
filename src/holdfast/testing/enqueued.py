"""What was enqueued: looked up where it stands, in the database, in an open transaction, or among jobs run inline."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.app import Holdfast
from holdfast.db import adopt, load_statements
from holdfast.errors import ConfigurationError
from holdfast.jobs import Place, Request
from holdfast.testing.inline import Inline
from holdfast.testing.seen import Enqueued

_SQL = load_statements("holdfast.testing", "enqueued.sql")


def all_enqueued(request: Request[..., Any], /, **args: Any) -> list[Enqueued]:
    """Jobs of a task, oldest first, in whatever state: those with these arguments, others may have any value.

    ``request`` is the task; with ``task.using(connection)`` the caller's open transaction is looked into as well, with
    ``task.options(queue=…, priority=…, unique=…, run_at=…)`` only jobs with these options count. Without a connection
    the application's own database is looked into, which is what has been committed. Blocks, also on an event loop, for
    as long as one query takes. Raises ``ArgumentsInvalid`` for arguments that the task does not have, and
    ``DriverUnsupported`` for a connection that needs await: then use ``all_enqueued_async``.
    """
    wanted = _Wanted(request, args)
    inline = request.registered.host.interception
    if isinstance(inline, Inline):
        return wanted.of(inline.seen)
    if request.connection is not None:
        return wanted.of(_made_of(request, adopt(request.connection).fetch_sync(_SQL["enqueued"], wanted.params)))
    return wanted.of(_made_of(request, _committed(request, wanted.params)))


def assert_enqueued(request: Request[..., Any], /, **args: Any) -> Enqueued:
    """The newest job that ``all_enqueued`` finds. Raises ``AssertionError`` with what was enqueued instead."""
    return _newest(request, args, all_enqueued(request, **args), lambda: all_enqueued(_any_of(request)))


def refute_enqueued(request: Request[..., Any], /, **args: Any) -> None:
    """Raises ``AssertionError`` if ``all_enqueued`` finds any job."""
    _none(request, args, all_enqueued(request, **args))


async def all_enqueued_async(request: Request[..., Any], /, **args: Any) -> list[Enqueued]:
    """``all_enqueued`` in the open transaction of a connection that needs await: ``task.using(async_session)``."""
    if request.connection is None or request.registered.host.interception is not None:
        return all_enqueued(request, **args)
    wanted = _Wanted(request, args)
    return wanted.of(_made_of(request, await adopt(request.connection).fetch(_SQL["enqueued"], wanted.params)))


async def assert_enqueued_async(request: Request[..., Any], /, **args: Any) -> Enqueued:
    """``assert_enqueued`` on a connection that needs await."""
    every = await all_enqueued_async(_any_of(request))
    return _newest(request, args, await all_enqueued_async(request, **args), lambda: every)


async def refute_enqueued_async(request: Request[..., Any], /, **args: Any) -> None:
    """``refute_enqueued`` on a connection that needs await."""
    _none(request, args, await all_enqueued_async(request, **args))


class _Wanted:
    """Which jobs are meant: the arguments as they are stored, and the options that differ from the task's own."""

    def __init__(self, request: Request[..., Any], args: Mapping[str, Any]) -> None:
        task = request.registered
        self.params = [task.name]
        self._args = task.signature.dump_some(args)
        asked, usual = request.wanted, task.wanted
        if asked.delay_us is not None:
            raise ConfigurationError(
                "a job cannot be recognised by its run_in", remedy="ask for run_at, or look at due_at in all_enqueued"
            )
        names = [name for name in ("queue", "priority", "due_at") if getattr(asked, name) != getattr(usual, name)]
        self._options = {name: getattr(asked, name) for name in names}
        if isinstance(asked.unique, str):
            self._options["unique_key"] = f"{task.name}:{asked.unique}"
        self._keyed = asked.unique is True

    def of(self, jobs: Sequence[Enqueued]) -> list[Enqueued]:
        return [job for job in jobs if job.task == self.params[0] and self._fits(job)]

    def _fits(self, job: Enqueued) -> bool:
        return (
            all(name in job.args and job.args[name] == value for name, value in self._args.items())
            and all(getattr(job, name) == value for name, value in self._options.items())
            and (job.unique_key is not None or not self._keyed)
        )


def _committed(request: Request[..., Any], params: Sequence[Any]) -> list[Sequence[Any]]:
    """Rows from the application's database, asked in a thread: the test's own event loop cannot be waited for here."""
    app = request.registered.host
    if not isinstance(app, Holdfast):
        raise ConfigurationError(f"task {request.registered.name!r} does not belong to a Holdfast application")
    answer: list[Any] = []

    async def look(_: object) -> list[Sequence[Any]]:
        return await app.database.fetch(_SQL["enqueued"], *params)

    def ask() -> None:
        try:
            answer.append(app.run_sync(look))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that asked
            answer.append(error)

    thread = threading.Thread(target=ask, name="holdfast testing")
    thread.start()
    thread.join()
    if isinstance(answer[0], BaseException):
        raise answer[0]
    rows: list[Sequence[Any]] = answer[0]
    return rows


def _made_of(request: Request[..., Any], rows: Sequence[Sequence[Any]]) -> list[Enqueued]:
    name = request.registered.name
    return [
        Enqueued(id, name, queue, str(Place(place)), priority, msgspec.json.decode(args), due_at, unique_key)
        for id, queue, place, priority, args, due_at, unique_key in rows  # noqa: A001
    ]


def _any_of(request: Request[..., Any]) -> Request[..., Any]:
    """The same task and connection, whatever the options."""
    task = request.registered
    return task if request.connection is None else task.using(request.connection)


def _newest(request: Request[..., Any], args: Mapping[str, Any], found: list[Enqueued], every: Any) -> Enqueued:
    if found:
        return found[-1]
    others = every()
    instead = "\n".join(f"  {job}" for job in others) or "  nothing"
    raise AssertionError(f"no {_described(request, args)} was enqueued; of this task there is\n{instead}")


def _none(request: Request[..., Any], args: Mapping[str, Any], found: list[Enqueued]) -> None:
    if found:
        lines = "\n".join(f"  {job}" for job in found)
        raise AssertionError(f"{_described(request, args)} was enqueued after all:\n{lines}")


def _described(request: Request[..., Any], args: Mapping[str, Any]) -> str:
    return f"{request.registered.name}({', '.join(f'{name}={value!r}' for name, value in args.items())})"
