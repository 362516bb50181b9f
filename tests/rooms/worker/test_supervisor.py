"""The supervisor as a real process, with a worker process that does no work and can be told to misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import asdict, replace

from holdfast.clock import monotonic
from holdfast.db.embedded import OwnedServer
from holdfast.leases import Limits, look_at
from holdfast.worker import Supervisor, SupervisorOptions
from tests.servers import run_migrations
from tests.waiting import eventually_sync

HERE = Path(__file__).parent
# Two interpreters start, one after the other: on a busy machine that alone takes many seconds.
BUSY_SECONDS = 45
LIMITS = Limits(settle_seconds=0.5, beat_seconds=0.5)


class Supervised:
    """A supervisor process and what its worker processes wrote down."""

    def __init__(self, folder: Path, url: str, child: dict[str, Any] | list[str], options: dict[str, Any]) -> None:
        self.log = folder / "child.log"
        command = (
            child
            if isinstance(child, list)
            else [sys.executable, str(HERE / "fake_child.py"), json.dumps({"log": str(self.log), **child})]
        )
        limits = asdict(options.pop("limits", LIMITS))
        given = {"url": url, "child": command, "limits": limits, **options}
        self._said = folder / "supervisor.log"
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "supervise.py"), json.dumps(given)], stderr=said
            )

    @property
    def lines(self) -> list[list[str]]:
        """What the worker processes wrote: pid, word, more."""
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        return [line.split() for line in text.splitlines()]

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")

    def words(self, word: str) -> list[list[str]]:
        return [line for line in self.lines if line[1] == word]

    def heard(self, word: str, times: int) -> bool:
        return len(self.words(word)) == times

    def registered(self, number: int = 1) -> tuple[int, int]:
        """Pid and worker number of the so-manieth worker process, once it has one."""
        line = eventually_sync(lambda: self.words("registered")[number - 1 : number], within_seconds=BUSY_SECONDS)[0]
        assert line[3] == "True"
        return int(line[0]), int(line[2])

    def end(self, within_seconds: float = 45) -> int:
        return self.process.wait(within_seconds)


@pytest.fixture
def supervise(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(
        child: dict[str, Any] | list[str] | None = None, *, url: str = database_url, **options: Any
    ) -> Supervised:
        started.append(Supervised(tmp_path, url, child or {}, options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture
def admin(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def end_of(admin: psycopg.Connection, worker: int) -> str | None:
    row = admin.execute("SELECT end_reason FROM holdfast.worker WHERE id = %s AND state = 'dead'", (worker,)).fetchone()
    return row[0] if row else None


def lease_a_job(admin: psycopg.Connection, worker: int) -> int:
    """As if the worker had claimed it."""
    row = admin.execute("SELECT holdfast.enqueue('task', queue => 'default')").fetchone()
    assert row is not None
    with admin.transaction():
        admin.execute("DELETE FROM holdfast.ready WHERE job_id = %s", (row[0],))
        admin.execute(
            "INSERT INTO holdfast.lease (id, job_ids, claimed_at) VALUES (%s, ARRAY[%s::bigint], holdfast.now())",
            (worker << 36 | 1, row[0]),
        )
    return int(row[0])


def is_ready(admin: psycopg.Connection, job: int) -> bool:
    return admin.execute("SELECT FROM holdfast.ready WHERE job_id = %s", (job,)).fetchone() is not None


def gone(pid: int) -> bool:
    look = look_at(pid)
    return look is None or look.ended


def test_a_stop_is_forwarded_and_the_status_is_the_childs(
    supervise: Callable[..., Supervised], admin: psycopg.Connection
) -> None:
    one = supervise({"status": 8})
    _, worker = one.registered()
    one.process.send_signal(signal.SIGTERM)

    assert one.end() == 8
    assert [line[1] for line in one.lines] == ["begins", "registered", "SIGTERM", "closed"]
    assert end_of(admin, worker) == "stopped"


@pytest.mark.parametrize("stopped_status", [0, 8])
def test_one_that_a_stop_kills_before_it_can_listen_counts_as_the_command_says(
    supervise: Callable[..., Supervised], stopped_status: int
) -> None:
    one = supervise({"at_once": "import"}, processes=2, stopped_status=stopped_status)
    eventually_sync(lambda: one.heard("imports", 2))
    one.process.send_signal(signal.SIGTERM)

    assert one.end() == stopped_status


def test_what_a_signal_does_is_as_before_when_it_has_ended() -> None:
    """A drain of queue after queue has one supervisor after another: a stop between two must find an ear."""

    def heard(*_: object) -> None: ...

    child = [sys.executable, "-c", "raise SystemExit(2)"]
    before = signal.signal(signal.SIGTERM, heard)
    try:
        assert Supervisor(SupervisorOptions(url="postgresql://nobody@127.0.0.1:1/nothing", child=child)).run() == 2
        assert signal.getsignal(signal.SIGTERM) is heard
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_stop_between_a_crash_and_the_next_start_is_in_order(supervise: Callable[..., Supervised]) -> None:
    one = supervise(["sh", "-c", "kill -9 $$"])
    eventually_sync(
        lambda: "crashes=6" in one.said, within_seconds=BUSY_SECONDS
    )  # and then a pause of over two seconds
    one.process.send_signal(signal.SIGTERM)

    assert one.end() == 0
    assert "crashes=7" not in one.said


@pytest.mark.parametrize("status", [0, 1, 8])
def test_a_drained_worker_is_not_started_again(supervise: Callable[..., Supervised], status: int) -> None:
    one = supervise({"status": status, "at_once": "leave"}, restart=False)

    assert one.end() == status
    assert len(one.words("registered")) == 1


def test_a_worker_that_cannot_begin_is_not_started_again(supervise: Callable[..., Supervised]) -> None:
    assert supervise({"status": 2, "at_once": "exit"}).end() == 2


@pytest.mark.parametrize("restart", [True, False])
def test_a_killed_worker_is_buried_its_work_put_back_and_another_started(
    supervise: Callable[..., Supervised], admin: psycopg.Connection, *, restart: bool
) -> None:
    one = supervise(restart=restart)
    pid, worker = one.registered()
    job = lease_a_job(admin, worker)
    os.kill(pid, signal.SIGKILL)
    killed_at = monotonic()

    eventually_sync(lambda: is_ready(admin, job), within_seconds=BUSY_SECONDS)
    assert monotonic() - killed_at < 2.0
    assert end_of(admin, worker) == "its process was killed by signal 9"
    second_pid, second = one.registered(2)
    assert second > worker
    assert not gone(second_pid)


def test_a_worker_that_ends_again_and_again_is_said_loudly(supervise: Callable[..., Supervised]) -> None:
    one = supervise({"status": 3, "at_once": "leave"})

    # Three processes, one after the other.
    eventually_sync(lambda: "worker.crash_loop crashes=3" in one.said, within_seconds=45)
    one.process.send_signal(signal.SIGTERM)
    one.end()


def test_a_supervisor_that_is_killed_takes_its_worker_along(
    supervise: Callable[..., Supervised], admin: psycopg.Connection
) -> None:
    one = supervise()
    pid, _ = one.registered()
    one.process.kill()

    assert eventually_sync(lambda: gone(pid), within_seconds=2)


def test_a_stopped_worker_gets_no_beats_and_is_replaced_after_its_silence(
    supervise: Callable[..., Supervised], admin: psycopg.Connection
) -> None:
    one = supervise(limits=replace(LIMITS, silence_seconds=2))
    pid, worker = one.registered()
    job = lease_a_job(admin, worker)
    os.kill(pid, signal.SIGSTOP)

    eventually_sync(lambda: is_ready(admin, job), within_seconds=BUSY_SECONDS)
    assert gone(pid)
    assert "beats for worker process" in one.said
    assert one.registered(2)[1] > worker


@pytest.mark.parametrize(
    ("how", "reason"), [("spin", "did not answer for 4."), ("freeze", "without using the CPU for 1.")]
)
def test_a_worker_that_holds_the_interpreter_lives_while_it_uses_the_cpu(
    supervise: Callable[..., Supervised], admin: psycopg.Connection, how: str, reason: str
) -> None:
    one = supervise({"at_once": how}, limits=replace(LIMITS, silence_seconds=1.5), hung_limit_seconds=4)
    _, worker = one.registered()

    assert reason in (eventually_sync(lambda: end_of(admin, worker), within_seconds=BUSY_SECONDS) or "")


def test_a_supervisor_that_was_stopped_too_long_begins_anew(
    supervise: Callable[..., Supervised], admin: psycopg.Connection
) -> None:
    one = supervise(limits=replace(LIMITS, silence_seconds=2))
    pid, worker = one.registered()
    one.process.send_signal(signal.SIGSTOP)
    # The worker is well, but nobody tells it so: it stops before others take its work.
    eventually_sync(lambda: one.words("cut_off"), within_seconds=BUSY_SECONDS)
    waited_until = monotonic() + 0.5
    eventually_sync(lambda: monotonic() > waited_until, within_seconds=BUSY_SECONDS)
    one.process.send_signal(signal.SIGCONT)

    eventually_sync(lambda: one.words("lost"), within_seconds=BUSY_SECONDS)
    assert one.registered(2)[1] > worker
    eventually_sync(lambda: end_of(admin, worker), within_seconds=BUSY_SECONDS)
    assert gone(pid)


def test_a_number_declared_dead_by_others_is_replaced(
    supervise: Callable[..., Supervised], admin: psycopg.Connection
) -> None:
    one = supervise()
    _, worker = one.registered()
    admin.execute("SELECT holdfast.declare_dead_v1(%s, 'by hand')", (worker,))

    assert one.registered(2)[1] > worker
    assert one.words("lost")[0][2:] == ["declared", "dead"]


def test_a_worker_that_does_not_end_is_killed_at_the_hard_limit(
    supervise: Callable[..., Supervised], admin: psycopg.Connection
) -> None:
    one = supervise({"deaf": True}, shutdown_hard_seconds=-4.0)  # and 5 s
    _, worker = one.registered()
    job = lease_a_job(admin, worker)
    one.process.send_signal(signal.SIGTERM)

    assert one.end() == 128 + signal.SIGKILL
    assert is_ready(admin, job)


def test_the_third_signal_is_the_end(supervise: Callable[..., Supervised]) -> None:
    one = supervise({"deaf": True})
    one.registered()
    for number in (1, 2):
        one.process.send_signal(signal.SIGINT)
        eventually_sync(partial(one.heard, "SIGTERM", number), within_seconds=BUSY_SECONDS)
    one.process.send_signal(signal.SIGINT)

    assert one.end() == 128 + signal.SIGKILL


def test_quiet_is_forwarded(supervise: Callable[..., Supervised]) -> None:
    one = supervise()
    one.registered()
    one.process.send_signal(signal.SIGUSR1)

    assert eventually_sync(lambda: one.words("SIGUSR1"), within_seconds=BUSY_SECONDS)


def test_it_ends_although_the_database_is_away(
    supervise: Callable[..., Supervised], durable_server: OwnedServer, durable_database_url: str
) -> None:
    one = supervise(url=durable_database_url)
    one.registered()
    durable_server.crash()
    one.process.send_signal(signal.SIGTERM)

    assert one.end() == 0


def test_it_waits_for_a_server_that_is_not_there_yet(
    supervise: Callable[..., Supervised], durable_server: OwnedServer
) -> None:
    run_migrations(durable_server.url)
    durable_server.crash()
    one = supervise(url=durable_server.url)
    eventually_sync(lambda: "db.unavailable" in one.said, within_seconds=BUSY_SECONDS)
    durable_server.start()

    one.registered()
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == 0


def test_it_ends_at_once_although_the_server_never_came(supervise: Callable[..., Supervised]) -> None:
    one = supervise(url="postgresql://nobody@127.0.0.1:1/nothing")
    eventually_sync(lambda: "db.unavailable" in one.said and one.words("begins"), within_seconds=BUSY_SECONDS)
    one.process.send_signal(signal.SIGTERM)

    assert one.end() == 0
