"""``executor="aws-batch"``: handlers in containers of AWS Batch (extra ``aws-batch``).

The call and its reply are objects in S3, under ``store/job/attempt``; the container runs ``python -m
holdfast.worker.executors.container s3://…/call.json``. The lease stays here: this worker watches the Batch job.

- A worker that ends, is deployed anew or dies leaves the Batch job running: the next lease of the same attempt finds
  its id in ``attempt_link`` and goes on watching it. A cancel and a timeout terminate it.
- FAILED with a reply: the handler raised. Without one: out of memory is a loss of this job, a lost machine is a loss
  that nobody is blamed for, anything else is a failure.
- RUNNABLE for longer than the limit: terminated, and failed.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from holdfast.clock import monotonic
from holdfast.jobs import Claimed, Job
from holdfast.telemetry import get_logger
from holdfast.worker.executors.contract import Call, JobTimeout, StoredResult, WorkDied
from holdfast.worker.executors.engine_side import message_of, read_reply
from holdfast.worker.executors.links import AttemptLinks
from holdfast.worker.options import AwsBatchOptions

log = get_logger("worker")

ENGINE = "aws-batch"
_REPLY_TRIES = 10
_ENDED = ("SUCCEEDED", "FAILED")
_LOST_MACHINE = re.compile(r"Host EC2|Spot|interrupted|terminated by the service", re.IGNORECASE)
_OUT_OF_MEMORY = re.compile(r"OutOfMemory|out of memory", re.IGNORECASE)
_LOG_GROUP = "/aws/batch/job"


class EngineFailed(Exception):
    """The Batch job failed without a word of the handler."""


class NotPlaced(Exception):
    """Batch found no machine for the job in time."""


class AwsBatchExecutor:
    """Submits attempts to one queue.

    ``executor_options`` of a task: ``queue`` and ``definition`` of its own, ``vcpus``; ``memory_limit_mib`` is asked
    for as memory.
    """

    cancellable = True

    def __init__(self, options: AwsBatchOptions, links: AttemptLinks, result_max_bytes: int) -> None:
        self._options = options
        self._links = links
        self._result_max_bytes = result_max_bytes
        self._batch = boto3.client("batch")
        self._s3 = boto3.client("s3")

    async def run(self, call: Call) -> Any:
        """See ``Executor``. When this worker ends, the Batch job runs on for the next one."""
        claimed = call.job.claimed
        external_id = await self._adopted(claimed) or await self._submitted(call)
        try:
            async with asyncio.timeout(call.timeout_seconds):
                seen = await self._ended(claimed, external_id)
        except TimeoutError:
            await self._terminate(external_id, "its time is up")
            raise JobTimeout(f"took longer than {call.timeout_seconds:g} s on AWS Batch") from None
        except asyncio.CancelledError:
            if call.job.cancel_reason is not None:
                await asyncio.shield(self._terminate(external_id, call.job.cancel_reason))
            raise
        except NotPlaced:
            await self._terminate(external_id, "no machine was found in time")
            raise
        return await self._result(claimed, seen)

    def ask_to_stop(self, job: Job) -> None:
        """Nobody there can see it."""

    def interrupt(self, job: Job) -> None:
        """Cancelling the awaiting task does all of it."""

    async def close(self, deadline_seconds: float) -> None:  # noqa: ARG002 - nothing is waited for
        """Batch jobs run on; the next worker watches them."""
        self._batch.close()
        self._s3.close()

    async def _adopted(self, claimed: Claimed) -> str | None:
        """The Batch job that an earlier lease of this very attempt submitted, unless it has ended without a word."""
        external_id = await self._links.last(claimed, ENGINE)
        if external_id is None:
            return None
        seen = await self._look(external_id)
        if seen is None or (seen["status"] in _ENDED and await self._reply(claimed) is None):
            return None
        await self._links.keep(claimed, ENGINE, external_id, self._log_url(seen))
        log.info("job %d goes on as AWS Batch job %s", claimed.id, external_id)
        return external_id

    async def _submitted(self, call: Call) -> str:
        claimed, options, own = call.job.claimed, self._options, call.task.executor_options
        place = self._place(claimed, "call.json")
        message = message_of(call, self._result_max_bytes)
        bucket, key = _split(place)
        await asyncio.to_thread(self._s3.put_object, Bucket=bucket, Key=key, Body=json.dumps(message).encode())
        needs = [("VCPU", own.get("vcpus")), ("MEMORY", call.task.memory_limit_mib)]
        answer = await asyncio.to_thread(
            self._batch.submit_job,
            jobName=re.sub(r"[^\w-]", "-", f"holdfast-{call.task.name}-{claimed.id}")[:128],
            jobQueue=own.get("queue", options.queue),
            jobDefinition=own.get("definition", options.definition),
            containerOverrides={
                "command": ["python", "-m", "holdfast.worker.executors.container", place],
                "resourceRequirements": [
                    {"type": kind, "value": str(value)} for kind, value in needs if value is not None
                ],
            },
        )
        external_id = str(answer["jobId"])
        await self._links.keep(claimed, ENGINE, external_id)
        return external_id

    async def _ended(self, claimed: Claimed, external_id: str) -> Mapping[str, Any]:
        """Watch until it has ended. Raises ``NotPlaced`` when it finds no machine."""
        log_url: str | None = None
        runnable_since: float | None = None
        while True:
            try:
                seen = await self._look(external_id)
            except (ClientError, BotoCoreError) as error:
                # Whatever it is, the Batch job goes on: who stops watching would start it a second time.
                log.warning("AWS Batch did not answer about %s: %s", external_id, error)
                await asyncio.sleep(self._options.poll_seconds)
                continue
            if seen is None:
                raise WorkDied(f"AWS Batch does not know the job {external_id} any more", blamed=False)
            if log_url is None and (log_url := self._log_url(seen)):
                await self._links.keep(claimed, ENGINE, external_id, log_url)
            if seen["status"] in _ENDED:
                return seen
            runnable_since = (runnable_since or monotonic()) if seen["status"] == "RUNNABLE" else None
            limit = self._options.runnable_limit_seconds
            if runnable_since is not None and monotonic() - runnable_since > limit:
                raise NotPlaced(f"RUNNABLE for more than {limit:g} s: no machine fits, or none is free")
            await asyncio.sleep(self._options.poll_seconds)

    async def _result(self, claimed: Claimed, seen: Mapping[str, Any]) -> Any:
        reply = await self._reply_in_the_end(claimed)
        if reply is not None:
            if reply["kind"] == "reference":
                return StoredResult(json.dumps({"reference": reply["reference"], "bytes": reply["bytes"]}))
            if reply["kind"] == "snoozed":  # the same attempt comes again, and must not find this reply
                bucket, key = _split(self._place(claimed, "reply.json"))
                await asyncio.to_thread(self._s3.delete_object, Bucket=bucket, Key=key)
            return read_reply(reply)
        container = seen.get("container", {})
        reason = f"{seen.get('statusReason', '')} {container.get('reason', '')}".strip()
        if _OUT_OF_MEMORY.search(reason):
            raise WorkDied(f"its container ran out of memory: {reason}", blamed=True)
        if _LOST_MACHINE.search(reason):
            raise WorkDied(f"its machine was lost: {reason}", blamed=False)
        code = container.get("exitCode")
        told = "" if code is None else f", exit code {code}"
        raise EngineFailed(f"{seen['status']} without a result{told}: {reason or 'no reason given'}")

    async def _look(self, external_id: str) -> Mapping[str, Any] | None:
        answer = await asyncio.to_thread(self._batch.describe_jobs, jobs=[external_id])
        return answer["jobs"][0] if answer["jobs"] else None

    async def _reply_in_the_end(self, claimed: Claimed) -> Mapping[str, Any] | None:
        """The work is done and its reply is there: a store that does not answer at once costs no attempt."""
        for _ in range(_REPLY_TRIES - 1):
            try:
                return await self._reply(claimed)
            except (ClientError, BotoCoreError) as error:
                log.warning("S3 did not give the reply of job %d: %s", claimed.id, error)
                await asyncio.sleep(self._options.poll_seconds)
        return await self._reply(claimed)

    async def _reply(self, claimed: Claimed) -> Mapping[str, Any] | None:
        bucket, key = _split(self._place(claimed, "reply.json"))
        try:
            found = await asyncio.to_thread(self._s3.get_object, Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise
        reply: Mapping[str, Any] = json.loads(await asyncio.to_thread(found["Body"].read))
        return reply

    async def _terminate(self, external_id: str, reason: str) -> None:
        try:
            await asyncio.to_thread(self._batch.terminate_job, jobId=external_id, reason=reason)
        except (ClientError, BotoCoreError) as error:
            log.warning("the AWS Batch job %s could not be terminated: %s", external_id, error)

    def _place(self, claimed: Claimed, name: str) -> str:
        return f"{self._options.store.rstrip('/')}/{claimed.id}/{claimed.attempt}/{name}"

    def _log_url(self, seen: Mapping[str, Any]) -> str | None:
        stream = seen.get("container", {}).get("logStreamName")
        if not stream:
            return None
        region = self._batch.meta.region_name
        group, name = (quote(quote(part, safe=""), safe="").replace("%", "$") for part in (_LOG_GROUP, stream))
        return (
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            f"#logsV2:log-groups/log-group/{group}/log-events/{name}"
        )


def _split(place: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` name."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return bucket, key
