"""The child process of ``executor="process"``: reads a call, runs it in its main thread, answers, waits for the next.

The main thread, because Python delivers signals there: SIGTERM raises ``Interrupted`` in the handler. Another thread
reads, so that a handler sees ``job.should_stop``, and the end of the worker is noticed while it runs.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from holdfast.jobs import Job
from holdfast.worker.executors.contract import Interrupted
from holdfast.worker.executors.engine_side import job_of, run_call

_LENGTH = struct.Struct(">I")
_PR_SET_PDEATHSIG = 1
_OUT_OF_MEMORY_STATUS = 86


class ProcessChild:
    """This process, from its first call to the end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._calls: queue.SimpleQueue[tuple[Mapping[str, Any], Job]] = queue.SimpleQueue()
        self._job: Job | None = None

    def serve(self) -> None:
        """Run calls until this process is killed, or the worker's end of the socket closes."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._interrupted)
        threading.Thread(target=self._read, name="holdfast-calls", daemon=True).start()
        while True:
            self._send(self._run(*self._calls.get()))

    def _run(self, message: Mapping[str, Any], job: Job) -> Mapping[str, Any]:
        try:
            _limit_memory(message["memory_limit_mib"])
            self._job = job
            reply = run_call(message, job)
            self._job = None
        except Interrupted:
            return {"kind": "stopped"}
        except MemoryError:
            # Whatever this process still holds, the next attempt gets a new one.
            _limit_memory(None)
            self._send({"kind": "out_of_memory"})
            os._exit(_OUT_OF_MEMORY_STATUS)
        finally:
            self._job = None
        return reply

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        if self._job is not None:
            self._job = None  # once is enough: what the handler does in its finally is not interrupted again
            raise Interrupted

    def _read(self) -> None:
        stream = self._socket.makefile("rb")
        job: Job | None = None
        while len(head := stream.read(_LENGTH.size)) == _LENGTH.size:
            message = json.loads(stream.read(_LENGTH.unpack(head)[0]))
            if message["kind"] == "call":
                job = job_of(message)
                self._calls.put((message, job))
            elif message["kind"] == "path":
                sys.path[:] = message["path"]  # what the worker can import can be imported here
            elif job is not None:
                job.stopping = True
        os._exit(0)  # the worker is gone, and others may run this job any moment now

    def _send(self, reply: Mapping[str, Any]) -> None:
        data = json.dumps(reply).encode()
        self._socket.sendall(_LENGTH.pack(len(data)) + data)


def _limit_memory(limit_mib: int | None) -> None:
    """Let the data of this process grow by so much at most: what wants more gets ``MemoryError``. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = hard if limit_mib is None else _data_bytes() + limit_mib * 1024 * 1024
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _die_with(parent: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be watched
            os._exit(1)


def main() -> None:
    """Entry of the child: the number of its socket, and its parent's process id."""
    _die_with(int(sys.argv[2]))
    ProcessChild(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
