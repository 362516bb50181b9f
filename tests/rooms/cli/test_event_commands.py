"""``holdfast event``: what stands on stdout, and the exit status."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from holdfast.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


def data(answer: tuple[int, str, str], status: int = 0) -> Any:
    assert answer[0] == status, answer
    return json.loads(answer[1])


def test_events_are_appended_and_read(run: Run) -> None:
    assert run("event", "append", "order-1", "OrderPlaced", "number=7", "who=Ada", "--tag", "customer:1")[1] == "1\n"
    paid = data(run("event", "append", "order-1", "OrderPaid", "--data", '{"cents": 250}', "--expected", "1", "--json"))
    assert (paid["versions"], paid["positions"]) == ([2], [2])
    run("event", "append", "cart-1", "Opened", "--metadata", '{"actor": "ada"}', "--expected", "none")

    stream = data(run("event", "read", "order-1", "--json"))
    assert [event["data"] for event in stream] == [{"number": 7, "who": "Ada"}, {"cents": 250}]
    assert stream[0]["tags"] == ["customer:1"]
    log = data(run("event", "read", "--json", "--after", "1"))
    assert [event["type"] for event in log] == ["OrderPaid", "Opened"]
    assert log[1]["metadata"] == {"actor": "ada"}
    assert [event["position"] for event in data(run("event", "read", "--last", "--limit", "2", "--json"))] == [3, 2]
    assert [e["type"] for e in data(run("event", "read", "--category", "cart", "--json"))] == ["Opened"]
    assert [e["position"] for e in data(run("event", "read", "--tag", "customer:1", "--json"))] == [1]
    assert data(run("event", "read", "--since", "2020-01-01", "--type", "OrderPaid", "--json"))[0]["version"] == 2
    assert "OrderPaid" in run("event", "read", "order-1")[1]
    assert run("event", "read", "nothing") == (0, "", "no events\n")
    for wrong in (("order-1", "--type", "OrderPaid"), ("order-1", "--since", "2020-01-01"), ("--last", "--after", "1")):
        status, out, told = run("event", "read", *wrong)
        assert (status, out, "remedy: leave" in told) == (2, "", True), (wrong, told)


def test_a_conflict_names_the_winner_and_has_its_own_status(run: Run) -> None:
    run("event", "append", "order-1", "OrderPlaced")

    status, out, err = run("event", "append", "order-1", "OrderPlaced", "--expected", "none")
    assert (status, out) == (3, "")
    assert "it stands at 1, first OrderPlaced" in err
    assert run("event", "append", "order-1", "T", "--expected", "some")[0] == 2
    assert run("event", "append", "order-1", "T", "--data", "[1]")[0] == 2


def test_a_repetition_with_an_id_or_a_key_appends_nothing(run: Run) -> None:
    event_id = str(uuid.uuid4())
    for extra in (("--id", event_id), ("--key", "request-1")):
        first = run("event", "append", "order-1", "T", *extra)
        again = run("event", "append", "order-1", "T", *extra)
        assert first[1] == again[1]
        assert "was appended before" in again[2]


def test_a_tail_is_one_object_a_line(run: Run) -> None:
    for number in range(3):
        run("event", "append", "order-1", "T", f"number={number}")

    status, out, _ = run("event", "tail", "--after", "1", "--limit", "2", "--json")
    assert status == 0
    assert [json.loads(line)["data"]["number"] for line in out.splitlines()] == [1, 2]
    assert "order-1@2" in run("event", "tail", "--after", "1", "--limit", "1")[1]


def test_the_state_names_who_holds_readers_back(run: Run, database_url: str) -> None:
    assert run("event", "status")[1].startswith("SETTLED")
    with psycopg.connect(database_url, application_name="the till") as connection:
        connection.execute('select * from holdfast.append_events(\'order-1\', \'[{"type": "T", "data": {}}]\')')
        status, out, err = run("event", "status")
        assert (status, out[:7]) == (0, "WAITING")
        assert f"pid {connection.info.backend_pid} (the till" in err
        assert data(run("event", "status", "--json"))["stalled_by"][0]["application"] == "the till"


def test_a_log_that_is_behind_is_unhealthy_until_it_is_adopted(run: Run, database_url: str) -> None:
    for _ in range(3):
        run("event", "append", "order-1", "T")
    run("event", "status")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select setval('holdfast.event_position', 1)")

    assert run("event", "status")[0] == 5
    assert run("event", "adopt")[0] == 2
    assert data(run("event", "adopt", "--yes", "--json"))["behind"] is False
    assert run("event", "append", "order-1", "T")[1] == "4\n"
