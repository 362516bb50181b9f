"""``executor="dask"``: handlers on the workers of a Dask cluster (extra ``dask``).

The lease stays here: this worker waits for the cluster's answer as it would for a handler of its own. A cancel cancels
the future; Dask does not interrupt a handler that has begun, so ``job.should_stop`` is not seen there and what it still
does is thrown away. A cluster that loses its scheduler is a loss, not a failure, and the job runs again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from distributed import Client, KilledWorker
from distributed.client import Future, FutureCancelledError
from distributed.comm import CommClosedError

from holdfast.jobs import Job
from holdfast.worker.executors.contract import Call, JobTimeout, WorkDied
from holdfast.worker.executors.engine_side import message_of, read_reply, run_call
from holdfast.worker.executors.links import AttemptLinks

_CONNECT_SECONDS = 10.0
_AGAIN_SECONDS = 2.0


class DaskExecutor:
    """Submits attempts to one scheduler. ``executor_options``: ``resources`` and ``priority`` as Dask knows them."""

    cancellable = True

    def __init__(self, address: str, links: AttemptLinks, result_max_bytes: int) -> None:
        self._address = address
        self._links = links
        self._result_max_bytes = result_max_bytes
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def run(self, call: Call) -> Any:
        """See ``Executor``."""
        claimed, options = call.job.claimed, call.task.executor_options
        client = await self._connected()
        # A key of this lease alone: what an earlier attempt left in the cluster is never taken for the answer.
        key = f"{call.task.name}-{claimed.id}-{claimed.lease}"
        future: Any = client.submit(
            run_call,
            message_of(call, self._result_max_bytes),
            key=key,
            pure=False,
            resources=options.get("resources"),
            priority=options.get("priority", 0),
        )
        try:
            await self._links.keep(claimed, "dask", key, client.dashboard_link or None)
            async with asyncio.timeout(call.timeout_seconds):
                return read_reply(await self._answer(client, future))
        except TimeoutError:
            raise JobTimeout(f"took longer than {call.timeout_seconds:g} s on the cluster") from None
        finally:
            with contextlib.suppress(Exception):
                if future.status == "pending":
                    await future.cancel()
                future.release()

    def ask_to_stop(self, job: Job) -> None:
        """Nobody there can see it."""

    def interrupt(self, job: Job) -> None:
        """Cancelling the awaiting task does all of it."""

    async def close(self, deadline_seconds: float) -> None:
        """Leave the cluster."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), deadline_seconds)

    async def _answer(self, client: Any, future: Future) -> Mapping[str, Any]:
        try:
            reply: Mapping[str, Any] = await future
        except KilledWorker as error:
            raise WorkDied(f"it took down the workers of the cluster: {error}", blamed=True) from error
        except (CommClosedError, OSError) as error:
            raise await self._lost(client, error) from error
        except (asyncio.CancelledError, FutureCancelledError) as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise await self._lost(client, error) from error
        return reply

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None or self._client.status != "running":
                try:
                    self._client = await Client(
                        self._address, asynchronous=True, timeout=_CONNECT_SECONDS, set_as_default=False
                    )
                except (OSError, TimeoutError) as error:
                    await asyncio.sleep(_AGAIN_SECONDS)
                    raise WorkDied(f"the scheduler {self._address} does not answer: {error}", blamed=False) from error
            return self._client

    async def _lost(self, client: Any, error: BaseException) -> WorkDied:
        """The scheduler has gone. The next attempt connects anew; nobody hammers it meanwhile."""
        if self._client is client:
            await self.close(1.0)
        await asyncio.sleep(_AGAIN_SECONDS)
        return WorkDied(f"the cluster was lost: {type(error).__name__}: {error}", blamed=False)
