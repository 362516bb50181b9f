"""Failures and operations on the command line."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from holdfast.cli import main
from tests.rooms.cli.test_commands import Run, data


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


@pytest.fixture
def failed(run: Run, database_url: str) -> list[int]:
    """Three jobs that have failed, counted."""
    ids = [int(run("job", "enqueue", "add", f"a={n}", "--queue", "mail")[1]) for n in range(3)]
    error = json.dumps({"type": "Boom", "message": "no", "frame": "shop:add"})
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("DELETE FROM holdfast.ready")
        admin.execute(
            "INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)"
            " SELECT j, 0, 2, 1, now(), %s::jsonb FROM unnest(%s::bigint[]) AS j",
            (error, ids),
        )
        admin.execute("SELECT holdfast.fold_failures_v1(100)")
    return ids


def operate(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as admin:
        while admin.execute("SELECT state FROM holdfast.operate_v1(500, 10000)").fetchone():
            pass


def test_failures_are_listed_shown_marked_and_retried(run: Run, failed: list[int]) -> None:
    [group] = data(run("failure", "list", "--json"))
    assert (group["task"], group["error_type"], group["failures"], group["state"]) == ("add", "Boom", 3, "new")
    status, out, _ = run("failure", "list")
    assert (status, "shop:add" in out, group["fingerprint"] in out) == (0, True, True)
    assert data(run("failure", "list", "--queue", "elsewhere", "--json")) == []
    shown = data(run("failure", "show", group["fingerprint"], "--json"))
    assert [job["id"] for job in shown["jobs"]] == failed[::-1]
    assert "run them again: holdfast failure retry" in "".join(run("failure", "show", group["fingerprint"])[1:])
    assert run("failure", "mark", group["fingerprint"], "resolved", "--note", "1.2")[0] == 0
    assert data(run("failure", "list", "--json"))[0]["note"] == "1.2"
    assert data(run("failure", "retry", group["fingerprint"], "--json")) == {"moved": 3}
    status, _, err = run("failure", "show", "0000")
    assert (status, "no group of failures" in err) == (3, True)


def test_a_verb_in_the_background_becomes_an_operation(run: Run, failed: list[int], database_url: str) -> None:
    status, _, err = run("job", "redrive", "--filter", "queue=mail", "--in-background")
    assert (status, "look with --preview first, then say --yes" in err) == (2, True)
    started = data(run("job", "redrive", "--filter", "queue=mail", "--in-background", "--yes", "--json"))
    assert (started["verb"], started["planned"], started["state"]) == ("retry", 3, "running")
    assert "no worker is live" in run("job", "purge", "--filter", "task=x", "--in-background", "--yes")[2]
    assert run("operation", "wait", str(started["id"]), "--timeout", "0")[0] == 6
    operate(database_url)
    assert run("operation", "wait", str(started["id"]))[0] == 0
    page = run("operation", "show", str(started["id"]))[1]
    assert "3 of 3" in page
    assert {row["state"] for row in data(run("operation", "list", "--json"))} == {"finished"}
    assert all(data(run("job", "show", str(job), "--json"))["state"] == "ready" for job in failed)
    status, _, err = run("operation", "cancel", str(started["id"]))
    assert (status, "nothing left to cancel" in err) == (3, True)


@pytest.mark.parametrize(
    ("verb", "options"),
    [("cancel", ()), ("reschedule", ("--in", "1h")), ("priority", ("--to", "9")), ("purge", ())],
)
def test_every_verb_can_be_done_in_the_background(
    run: Run, database_url: str, verb: str, options: tuple[str, ...]
) -> None:
    job = run("job", "enqueue", "add", "a=1", "--queue", "mail")[1].strip()
    started = data(run("job", verb, "--filter", "queue=mail", *options, "--in-background", "--yes", "--json"))
    operate(database_url)
    assert data(run("operation", "show", str(started["id"]), "--json"))["moved"] == 1
    if verb == "purge":
        assert run("job", "show", job)[0] == 3
        return
    shown: Any = data(run("job", "show", job, "--json"))
    assert (shown["state"], shown["priority"]) == {
        "cancel": ("cancelled", 5),
        "reschedule": ("scheduled", 5),
        "priority": ("ready", 9),
    }[verb]


def test_in_the_background_it_takes_a_filter(run: Run) -> None:
    for arguments in (("17",), ()):
        status, _, err = run("job", "cancel", *arguments, "--in-background", "--yes")
        assert (status, "takes a filter, not ids" in err) == (2, True)
