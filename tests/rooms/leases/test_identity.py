from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from holdfast.leases import incarnation_of, look_at, still_exists
from tests.waiting import eventually_sync


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as one:
        yield one
        one.kill()


def test_this_process_exists() -> None:
    assert still_exists("anything", incarnation_of(os.getpid())) is True


def test_an_ended_process_does_not_exist_any_more(process: subprocess.Popen[bytes]) -> None:
    incarnation = incarnation_of(process.pid)
    assert still_exists("host", incarnation) is True
    process.kill()
    # Before it is reaped it is a zombie: that has ended, too.
    assert eventually_sync(lambda: still_exists("host", incarnation) is False)
    process.wait()
    assert still_exists("host", incarnation) is False


def test_a_pid_used_again_is_another_process(process: subprocess.Popen[bytes]) -> None:
    machine, _, ticks = incarnation_of(process.pid).rpartition(":")

    assert still_exists("host", f"{machine}:{int(ticks) - 1}") is False


@pytest.mark.parametrize("other", ["linux:another-boot:1:1:1", "opaque:5b0c", "", "nonsense"])
def test_another_machine_cannot_be_known(other: str) -> None:
    assert still_exists("host", other) is None


def test_a_stopped_process_is_seen_as_stopped(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGSTOP)

    assert eventually_sync(lambda: (look := look_at(process.pid)) is not None and look.stopped)
