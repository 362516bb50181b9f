"""Tasks on AWS Batch, against moto: what is submitted, watched, adopted, terminated, and what a FAILED means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from moto.batch.exceptions import ClientException
from moto.batch.models import batch_backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_api import state_manager
from msgspec.structs import replace

from holdfast import Holdfast
from holdfast.worker import AwsBatchOptions
from holdfast.worker.executors.aws_batch import AwsBatchExecutor
from holdfast.worker.executors.container import main as run_container
from tests.rooms.jobs.hand import assert_conserved
from tests.rooms.worker import elsewhere_tasks as tasks
from tests.rooms.working import working
from tests.waiting import eventually

REGION = "eu-central-1"
OPTIONS = AwsBatchOptions("heavy", "holdfast", "s3://store/calls", poll_seconds=0.02)


class Cloud:
    """Batch and S3 of moto. Its jobs stand still until a test moves them; containers are run by the test."""

    def __init__(self) -> None:
        self.batch: Any = boto3.client("batch", REGION)
        self.s3: Any = boto3.client("s3", REGION)
        self.s3.create_bucket(Bucket="store", CreateBucketConfiguration={"LocationConstraint": REGION})
        ec2: Any = boto3.client("ec2", REGION)
        subnet = ec2.describe_subnets()["Subnets"][0]
        group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        iam: Any = boto3.client("iam", REGION)
        role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        environment = self.batch.create_compute_environment(
            computeEnvironmentName="machines",
            type="MANAGED",
            serviceRole=role,
            computeResources={
                "type": "FARGATE",
                "maxvCpus": 4,
                "subnets": [subnet["SubnetId"]],
                "securityGroupIds": [group],
            },
        )["computeEnvironmentArn"]
        self.batch.create_job_queue(
            jobQueueName="heavy",
            state="ENABLED",
            priority=1,
            computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
        )
        self.batch.register_job_definition(
            jobDefinitionName="holdfast",
            type="container",
            containerProperties={"image": "app", "vcpus": 1, "memory": 512, "command": ["true"]},
        )

    def jobs(self) -> list[Any]:
        return list(batch_backends[DEFAULT_ACCOUNT_ID][REGION]._jobs.values())

    def submitted(self) -> bool:
        return bool(self.jobs())

    def command(self) -> list[str]:
        return list(self.jobs()[-1].container_overrides["command"])


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session()


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, session: boto3.Session) -> Iterator[Cloud]:
    from moto.batch import models

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # a thousand images that nobody starts
    # moto's own jobs move by the clock, or at once; these move when the test says so.
    monkeypatch.setattr(models.Job, "start", lambda self: setattr(self, "status", "RUNNABLE"))
    state_manager.set_transition("batch::job", {"progression": "manual", "times": 1_000_000})
    with mock_aws(config={"batch": {"use_docker": True}}):
        # moto forgets the session each time, and with it what was read of megabytes that describe the services.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
        yield Cloud()
    state_manager.unset_transition("batch::job")


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[Holdfast]:
    tasks.app.configure(database_url)
    async with tasks.app:
        yield tasks.app


async def test_what_a_container_returns_is_the_result(app: Holdfast, cloud: Cloud) -> None:
    job_id = await tasks.render.enqueue(3)
    async with working(app, ("aws",), aws_batch=OPTIONS):
        await eventually(cloud.submitted)
        (job,) = cloud.jobs()
        needs = {need["type"]: need["value"] for need in job.container_overrides["resourceRequirements"]}
        assert needs == {"VCPU": "2", "MEMORY": "2048"}
        python, dash_m, module, place = cloud.command()
        assert (python, dash_m, module) == ("python", "-m", "holdfast.worker.executors.container")
        job.log_stream_name = "stream/default/1"
        job.status = "RUNNING"
        assert await asyncio.to_thread(run_container, [place]) == 0
        job.status = "SUCCEEDED"
        assert await app.jobs.result(job_id, timeout_seconds=20) == "page page page "
    (link,) = await app.jobs.history(job_id)
    assert (link["engine"], link["external_id"]) == ("aws-batch", job.job_id)
    assert link["log_url"].endswith("/log-group/$252Faws$252Fbatch$252Fjob/log-events/stream$252Fdefault$252F1")


async def test_a_large_result_is_a_reference(app: Holdfast, cloud: Cloud) -> None:
    job_id = await tasks.render.enqueue(100)
    async with working(app, ("aws",), aws_batch=OPTIONS, result_max_bytes=100):
        await eventually(cloud.submitted)
        await asyncio.to_thread(run_container, cloud.command()[3:])
        cloud.jobs()[0].status = "SUCCEEDED"
        result = await app.jobs.result(job_id, timeout_seconds=20)
    assert result == {"reference": f"s3://store/calls/{job_id}/1/result.json", "bytes": 502}
    stored = cloud.s3.get_object(Bucket="store", Key=f"calls/{job_id}/1/result.json")["Body"].read()
    assert stored.decode() == '"' + "page " * 100 + '"'


async def test_a_handler_that_raises_fails_with_its_own_error(app: Holdfast, cloud: Cloud) -> None:
    job_id = await tasks.render_badly.enqueue()
    async with working(app, ("aws",), aws_batch=OPTIONS):
        await eventually(cloud.submitted)
        assert await asyncio.to_thread(run_container, cloud.command()[3:]) == 1
        cloud.jobs()[0].status = "FAILED"
        info = await app.jobs.wait(job_id, timeout_seconds=20)
    assert info.error is not None
    assert (info.state, info.error["type"], info.error["message"]) == ("failed", "Strange", "no ink")


@pytest.mark.parametrize(
    ("reason", "state", "error"),
    [
        ("OutOfMemoryError: Container killed due to memory usage", "failed", "LostTooOften"),
        ("Essential container in task exited", "failed", "EngineFailed"),
        ("Host EC2 (instance i-1) terminated.", "running", None),
    ],
)
async def test_a_failure_without_a_word_of_the_handler_is_judged_by_its_reason(
    app: Holdfast, cloud: Cloud, reason: str, state: str, error: str | None
) -> None:
    job_id = await tasks.render.enqueue(3)
    async with working(app, ("aws",), aws_batch=OPTIONS, max_losses=1, shutdown_soft_seconds=0.0):
        await eventually(cloud.submitted)
        (job,) = cloud.jobs()
        job.job_stopped_reason = reason
        job.status = "FAILED"
        if error is None:  # nobody is blamed, and the attempt is made again
            await eventually(lambda: len(cloud.jobs()) == 2)
            (lost,) = [event for event in await app.jobs.history(job_id) if event["what"] == "lost"]
            assert not lost["counted"]
        else:
            info = await app.jobs.wait(job_id, timeout_seconds=20)
            assert info.error is not None
            assert (info.state, info.error["type"]) == (state, error)
    await assert_conserved(app.database)


async def test_a_cancel_terminates_the_batch_job(app: Holdfast, cloud: Cloud) -> None:
    job_id = await tasks.render.enqueue(3)
    async with working(app, ("aws",), aws_batch=OPTIONS):
        await eventually(cloud.submitted)
        (job,) = cloud.jobs()
        await linked(app, job_id)
        await app.jobs.cancel(job_id, reason="too dear")
        info = await app.jobs.wait(job_id, timeout_seconds=20)
    assert info.state == "cancelled"
    assert job.job_stopped_reason == "too dear"


async def test_a_job_that_finds_no_machine_is_given_up(app: Holdfast, cloud: Cloud) -> None:
    job_id = await tasks.render.enqueue(3)
    async with working(app, ("aws",), aws_batch=replace(OPTIONS, runnable_limit_seconds=0.05)):
        await eventually(cloud.submitted)
        info = await app.jobs.wait(job_id, timeout_seconds=20)
    assert info.error is not None
    assert info.error["type"] == "NotPlaced"
    assert "RUNNABLE for more than 0.05 s" in info.error["message"]


async def test_an_answer_that_fails_to_come_does_not_end_the_watch(
    app: Holdfast, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def unreachable(_self: Any, _jobs: Any) -> Any:
        nonlocal asked
        asked += 1
        raise ClientException("Too Many Requests")

    job_id = await tasks.render.enqueue(3)
    async with working(app, ("aws",), aws_batch=OPTIONS):
        await linked(app, job_id)
        with monkeypatch.context() as away:
            away.setattr("moto.batch.models.BatchBackend.describe_jobs", unreachable)
            await eventually(lambda: asked > 0, within_seconds=30)
        await asyncio.to_thread(run_container, cloud.command()[3:])
        cloud.jobs()[0].status = "SUCCEEDED"
        assert await app.jobs.result(job_id, timeout_seconds=30) == "page page page "
    assert len(cloud.jobs()) == 1


async def test_a_reply_that_is_not_given_at_once_is_asked_for_again(
    app: Holdfast, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    reply, refused = AwsBatchExecutor._reply, 0

    async def refuse_twice(self: AwsBatchExecutor, claimed: Any) -> Any:
        nonlocal refused
        refused += 1
        if refused <= 2:
            raise EndpointConnectionError(endpoint_url="s3")
        return await reply(self, claimed)

    job_id = await tasks.render.enqueue(3)
    async with working(app, ("aws",), aws_batch=OPTIONS):
        await linked(app, job_id)
        await asyncio.to_thread(run_container, cloud.command()[3:])
        monkeypatch.setattr(AwsBatchExecutor, "_reply", refuse_twice)
        cloud.jobs()[0].status = "SUCCEEDED"
        assert await app.jobs.result(job_id, timeout_seconds=30) == "page page page "
    assert (await app.jobs.show(job_id)).attempt == 1


async def test_the_next_worker_goes_on_watching_what_the_last_one_submitted(app: Holdfast, cloud: Cloud) -> None:
    job_id = await tasks.render.enqueue(3)
    async with working(app, ("aws",), aws_batch=OPTIONS, shutdown_soft_seconds=0.0):
        await linked(app, job_id)
    assert (await app.jobs.show(job_id)).state == "ready"
    assert cloud.jobs()[0].status == "RUNNABLE", "a deploy ends no heavy work"
    await asyncio.to_thread(run_container, cloud.command()[3:])
    cloud.jobs()[0].status = "SUCCEEDED"
    async with working(app, ("aws",), aws_batch=OPTIONS):
        assert await app.jobs.result(job_id, timeout_seconds=20) == "page page page "
    assert len(cloud.jobs()) == 1
    workers = {event["worker"] for event in await app.jobs.history(job_id)}
    assert len(workers) == 2


async def linked(app: Holdfast, job_id: int) -> None:
    async def found() -> bool:
        return bool(await app.jobs.history(job_id))

    await eventually(found)
