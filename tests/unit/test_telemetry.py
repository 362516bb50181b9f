from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from holdfast import telemetry


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Holdfast's log as text; the logger is as it was afterwards."""
    root = logging.getLogger("holdfast")
    before = (root.handlers[:], root.level, root.propagate)
    yield io.StringIO()
    root.handlers[:], root.level, root.propagate = before[0], before[1], before[2]


def test_a_subscriber_hears_name_and_fields_until_it_unsubscribes() -> None:
    heard: list[tuple[str, Mapping[str, Any]]] = []
    unsubscribe = telemetry.subscribe(lambda name, fields: heard.append((name, fields)))

    telemetry.emit("worker.started", worker="w-1")
    unsubscribe()
    telemetry.emit("worker.stopped", worker="w-1")

    assert heard == [("worker.started", {"worker": "w-1"})]


def test_a_name_outside_the_table_is_refused() -> None:
    with pytest.raises(LookupError, match="worker\\.exploded"):
        telemetry.emit("worker.exploded")


def test_a_failing_subscriber_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    def broken(name: str, fields: Mapping[str, Any]) -> None:
        raise RuntimeError("exporter is down")

    endings = [telemetry.subscribe(broken), telemetry.subscribe(lambda name, _: heard.append(name))]
    try:
        telemetry.emit("worker.started")
    finally:
        for end in endings:
            end()

    assert heard == ["worker.started"]
    assert "a subscriber failed on worker.started" in caplog.text


def test_an_event_is_a_log_line_of_its_level(log: io.StringIO) -> None:
    telemetry.configure_logging("warning", "text", log)

    telemetry.emit("worker.started", worker="w-1")
    telemetry.emit("worker.rescued", worker="w-2", jobs=3)

    assert log.getvalue().count("\n") == 1
    assert "WARNING holdfast.worker  worker.rescued worker=w-2 jobs=3" in log.getvalue()


def test_json_lines_carry_the_fields_and_a_traceback(log: io.StringIO) -> None:
    telemetry.configure_logging("info", "json", log)

    telemetry.emit("worker.rescued", worker="w-2", jobs=3)
    try:
        raise ValueError("no")
    except ValueError:
        telemetry.get_logger("worker").exception("handler %s", "broke")

    event, failure = (json.loads(line) for line in log.getvalue().splitlines())
    assert (event["event"], event["level"], event["worker"], event["jobs"]) == ("worker.rescued", "warning", "w-2", 3)
    assert failure["message"] == "handler broke"
    assert failure["traceback"].endswith("ValueError: no")


def test_fields_may_bear_names_that_logging_uses_itself(log: io.StringIO) -> None:
    telemetry.configure_logging("info", "json", log)

    telemetry.emit("worker.started", args=1, module="m", level="mine")

    assert json.loads(log.getvalue())["level"] == "info"


def test_every_event_says_what_it_means_and_names_its_room() -> None:
    rooms = {name.partition(".")[0] for name in telemetry.EVENTS}

    assert rooms <= {"db", "events", "jobs", "schedules", "worker"}
    assert all(event.meaning and not event.meaning.endswith(".") for event in telemetry.EVENTS.values())
