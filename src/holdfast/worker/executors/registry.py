"""The executors of one worker: made when a task first needs one, so that nobody imports an engine for nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Executor as Threads
from typing import Any

from holdfast.errors import ConfigurationError
from holdfast.jobs import Task
from holdfast.worker.executors.contract import Executor
from holdfast.worker.executors.coroutine import CoroutineExecutor
from holdfast.worker.executors.links import AttemptLinks
from holdfast.worker.executors.thread import ThreadExecutor
from holdfast.worker.options import WorkerOptions


class Executors:
    """By name, as tasks say it: async, thread, process, dask, aws-batch."""

    def __init__(self, threads: Threads, links: AttemptLinks, options: WorkerOptions) -> None:
        self._links = links
        self._options = options
        self._made: dict[str, Executor] = {"async": CoroutineExecutor(), "thread": ThreadExecutor(threads)}
        self._makers: dict[str, Callable[[], Executor]] = {
            "process": self._process,
            "dask": self._dask,
            "aws-batch": self._aws_batch,
        }

    def of(self, task: Task[..., Any]) -> Executor:
        """The executor of a task. Raises ``ConfigurationError`` when its library or its settings are missing."""
        executor = self._made.get(task.executor)
        if executor is None:
            executor = self._made[task.executor] = self._makers[task.executor]()
        return executor

    def prepare(self, tasks: Iterable[Task[..., Any]]) -> None:
        """Make what these tasks need now, so that what is missing is said when the worker starts."""
        for task in tasks:
            self.of(task)

    async def close(self, deadline_seconds: float) -> None:
        """Close all of them."""
        for executor in self._made.values():
            await executor.close(deadline_seconds)

    def _process(self) -> Executor:
        from holdfast.worker.executors.process import ProcessExecutor

        warm = min(self._options.concurrency, os.cpu_count() or 1)
        return ProcessExecutor(warm=warm, result_max_bytes=self._options.result_max_bytes)

    def _dask(self) -> Executor:
        try:
            from holdfast.worker.executors.dask import DaskExecutor
        except ImportError as error:
            raise _missing("dask", error) from error
        if not self._options.dask_address:
            raise ConfigurationError(
                'a task has executor="dask", and no scheduler is named',
                remedy="set HOLDFAST_DASK_ADDRESS, for example tcp://scheduler:8786",
            )
        return DaskExecutor(self._options.dask_address, self._links, self._options.result_max_bytes)

    def _aws_batch(self) -> Executor:
        try:
            from holdfast.worker.executors.aws_batch import AwsBatchExecutor
        except ImportError as error:
            raise _missing("aws-batch", error) from error
        if self._options.aws_batch is None:
            raise ConfigurationError(
                'a task has executor="aws-batch", and its queue, definition or store is not named',
                remedy="set HOLDFAST_AWS_BATCH_QUEUE, HOLDFAST_AWS_BATCH_DEFINITION and HOLDFAST_AWS_BATCH_STORE",
            )
        return AwsBatchExecutor(self._options.aws_batch, self._links, self._options.result_max_bytes)


def _missing(name: str, error: ImportError) -> ConfigurationError:
    return ConfigurationError(
        f'executor="{name}" needs a library that is not installed: {error}',
        remedy=f'pip install "holdfast[{name}]"',
    )
