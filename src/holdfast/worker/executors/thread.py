"""``executor="thread"``: plain functions in threads of the worker process.

A thread cannot be stopped from outside. It is asked first (``job.should_stop``). Then ``Interrupted`` is raised in it,
which Python does when the thread next executes a bytecode: a loop ends at once, a sleep or a call into C ends when it
returns, however long that takes. Until then the attempt is waited for, because its effects are not over.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Executor as Threads
from functools import partial
from typing import Any

from holdfast.jobs import Job
from holdfast.worker.executors.contract import Call, Interrupted, JobTimeout

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)
_raise_in_thread.restype = ctypes.c_int
_NOTHING = ctypes.py_object()


class ThreadExecutor:
    """Runs handlers in the given pool."""

    cancellable = False

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._running: dict[Job, _InThread] = {}

    async def run(self, call: Call) -> Any:
        """See ``Executor``. After the timeout the thread is interrupted, and then waited for."""
        task, job = call.task, call.job
        handler = (
            partial(task.handler, job, **call.arguments)
            if task.signature.wants_job
            else partial(task.handler, **call.arguments)
        )
        inside = self._running[job] = _InThread(handler)
        context = contextvars.copy_context()
        work = asyncio.get_running_loop().run_in_executor(self._threads, context.run, inside.run)
        try:
            return await self._await(call, inside, work)
        finally:
            del self._running[job]

    async def _await(self, call: Call, inside: _InThread, work: asyncio.Future[Any]) -> Any:
        late = False
        while True:
            try:
                async with asyncio.timeout(None if late else call.timeout_seconds):
                    result = await asyncio.shield(work)
                break
            except TimeoutError:
                if work.done():
                    return work.result()
                late = call.job.late = True
                inside.interrupt()
            except asyncio.CancelledError:
                if late and work.done():
                    break  # the handler saw that it should stop, and did: late all the same
                raise
            except Interrupted:
                if late:
                    break
                raise asyncio.CancelledError("the thread was interrupted") from None
        if late:
            raise JobTimeout(f"took longer than {call.timeout_seconds:g} s; its thread was interrupted and waited for")
        return result

    def ask_to_stop(self, job: Job) -> None:
        """The handler looks at the very same job."""

    def interrupt(self, job: Job) -> None:
        """Raise ``Interrupted`` in the thread of this job."""
        if inside := self._running.get(job):
            inside.interrupt()

    async def close(self, deadline_seconds: float) -> None:  # noqa: ARG002 - nothing here waits
        """Threads that still run are left behind; the process ends under them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _InThread:
    """One call in a thread. Interrupted only while the handler itself runs, never the pool's own code around it."""

    def __init__(self, handler: Callable[[], Any]) -> None:
        self._handler = handler
        self._turn = threading.Lock()
        self._thread: int | None = None
        self._interrupted = False

    def run(self) -> Any:
        """Call the handler. A future cannot hold StopIteration: whoever waits for it would wait for ever."""
        with self._turn:
            if self._interrupted:
                raise Interrupted
            self._thread = threading.get_ident()
        try:
            return self._handler()
        except StopIteration as error:
            raise RuntimeError("the handler raised StopIteration") from error
        finally:
            with self._turn:
                thread, self._thread = self._thread, None
                if thread is not None:
                    _raise_in_thread(thread, _NOTHING)  # what has not been delivered never will be

    def interrupt(self) -> None:
        """From any thread; once it runs no more, nothing happens."""
        with self._turn:
            self._interrupted = True
            if self._thread is not None:
                _raise_in_thread(self._thread, Interrupted)
