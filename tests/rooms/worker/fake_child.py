"""A worker process without work: lives on its lifeline, writes down what it hears, and ends as it is told.

    python fake_child.py '{"log": ..., "status": 0, "deaf": false, "at_once": null}' --lifeline-fd=7

``deaf``: does not end on SIGTERM. ``at_once``: "import" for ever; "exit" before saying hello; once registered
"leave", or hold the interpreter: "spin" with and "freeze" without using the CPU.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import re
import signal
import sys
from pathlib import Path

from holdfast.leases import WorkerFacts
from holdfast.worker import PipeLifeline


async def main(fd: int, log: str, *, status: int = 0, deaf: bool = False, at_once: str | None = None) -> int:
    def tell(*words: object) -> None:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(" ".join(map(str, (os.getpid(), *words))) + "\n")

    if at_once == "exit":
        return status
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def terminate() -> None:
        tell("SIGTERM")
        if not deaf:
            stop.set()

    def lost(reason: str) -> None:
        tell("lost", reason)
        stop.set()

    loop.add_signal_handler(signal.SIGTERM, terminate)
    loop.add_signal_handler(signal.SIGUSR1, tell, "SIGUSR1")
    lifeline = PipeLifeline(fd)
    lifeline.set_callbacks(on_lost=lost, on_cut_off=lambda: tell("cut_off"), on_restored=lambda: tell("restored"))
    tell("begins")
    facts = WorkerFacts(name="fake", queues=("default",), concurrency=1)
    starting, stopping = asyncio.ensure_future(lifeline.start(facts)), asyncio.ensure_future(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        return status
    tell("registered", starting.result(), lifeline.may_work())
    if at_once == "spin":
        re.match(r"(a+)+$", "a" * 40 + "b")
    elif at_once == "freeze":
        ctypes.PyDLL(None).sleep(60)  # unlike CDLL it keeps the interpreter's lock
    elif at_once != "leave":
        await stop.wait()
    await lifeline.close(5.0)
    tell("closed", lifeline.may_work())
    return status


if __name__ == "__main__":
    given_fd = int(sys.argv[2].removeprefix("--lifeline-fd="))
    given = json.loads(sys.argv[1])
    if given.get("at_once") == "import":
        with Path(given["log"]).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} imports\n")
        signal.pause()  # SIGTERM ends it: nothing is set up yet
    sys.exit(asyncio.run(main(given_fd, **given)))
