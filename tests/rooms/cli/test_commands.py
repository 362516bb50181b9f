"""Commands against a real database: what stands on stdout and stderr, and the exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast.cli import main

Run = Callable[..., tuple[int, str, str]]

APP = """
from holdfast import Holdfast
app = Holdfast()

@app.task
async def add(a: int, b: int = 1) -> int:
    return a + b
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        said = capsys.readouterr()
        return status, said.out, said.err

    return invoke


@pytest.fixture
def app_file(tmp_path: Path) -> str:
    path = tmp_path / "shop_tasks.py"
    path.write_text(APP)
    return str(path)


def data(answer: tuple[int, str, str], status: int = 0) -> Any:
    assert answer[0] == status, answer
    return json.loads(answer[1])


def test_names_are_shown_as_they_are_and_command_no_terminal(run: Run) -> None:
    job_id = run("job", "enqueue", "[bold]add", "--queue", "mail[/x]\x1b]0;taken over\x07")[1].strip()

    for command in (("job", "list"), ("queue", "list"), ("job", "show", job_id), ("job", "why", job_id), ("status",)):
        _, out, told = run(*command)
        assert "mail[/x]\N{REPLACEMENT CHARACTER}]0;" in out, command
        assert "\x1b]" not in out + told, command
    assert "[bold]add" in run("job", "list")[1]


def test_a_job_is_enqueued_listed_shown_cancelled_and_retried(run: Run) -> None:
    status, out, _ = run("job", "enqueue", "add", "a=1", "who=Ada", "--queue", "mail")
    job_id = int(out)
    assert status == 0

    [listed] = data(run("job", "list", "--json"))
    assert (listed["id"], listed["state"], listed["args"]) == (job_id, "ready", {"a": 1, "who": "Ada"})
    assert run("job", "cancel", str(job_id), "--reason", "not needed")[0] == 0
    assert data(run("job", "show", str(job_id), "--json"))["state"] == "cancelled"
    assert run("job", "cancel", str(job_id))[0] == 3
    assert run("job", "retry", str(job_id))[0] == 0
    assert "ready" in run("job", "show", str(job_id))[1]
    assert run("job", "retry", str(job_id))[0] == 3


def test_a_queue_that_nobody_has_used_is_paused_and_pointed_out(run: Run) -> None:
    run("job", "enqueue", "add", "--queue", "mail")
    assert "nobody has used" not in run("queue", "pause", "mail")[2]

    status, _, err = run("queue", "pause", "mial")
    assert status == 0
    assert "nobody has used a queue mial yet; did you mean mail?" in err


def test_the_version_is_said_by_the_command_and_by_the_flag(run: Run) -> None:
    asked = run("version")

    assert (asked[0], asked) == (0, run("--version"))
    assert asked[1].startswith("holdfast 0.")
    assert data(run("version", "--json")).keys() == {"holdfast", "python"}


def test_a_wait_runs_out_with_its_own_status(run: Run) -> None:
    job_id = run("job", "enqueue", "add", "--queue", "mail")[1].strip()

    assert run("job", "wait", job_id, "--timeout", "0")[0] == 6


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("job", "show", "1"), 3, "there is no job 1"),
        (("job", "enqueue", "nobody_knows_it"), 3, "no worker has declared"),
        (("job", "enqueue", "add", "5"), 2, "has no name"),
        (("job", "enqueue", "add", "--args", "[1]"), 2, "no JSON object"),
        (("job", "list", "--state", "lost"), 2, "there is no state 'lost'"),
        (("job", "list", "--nonsense"), 2, "--nonsense"),
        (("job", "list", "--database-url", "mysql://here"), 2, "postgresql://"),
        (("worker", "--app", "no_such_module"), 2, "there is no module"),
        (("worker", "--queues", ","), 2, "names no queue"),
        (("worker", "--sequential"), 2, "say --drain"),
        (("worker", "--max-runtime", "5m"), 2, "say --drain"),
        (("worker", "--drain", "--max-runtime", "soon"), 2, "is not a duration"),
    ],
)
def test_what_is_wrong_is_said_on_stderr_with_its_status(
    run: Run, arguments: tuple[str, ...], status: int, told: str
) -> None:
    if arguments[0] == "worker":
        arguments = (*arguments, "--lifeline-fd", "99")
    got, out, err = run(*arguments)

    assert (got, out) == (status, "")
    assert told in err
    assert "Traceback" not in err


def test_arguments_are_checked_by_the_signature_where_the_application_is_named(run: Run, app_file: str) -> None:
    status, _, err = run("job", "enqueue", "add", "a=x", "--app", app_file)
    assert status == 2
    assert "a: Input should be a valid integer" in err
    assert data(run("job", "list", "--json")) == []

    assert run("job", "enqueue", "add", "a=1", "--app", app_file)[0] == 0
    [job] = data(run("job", "list", "--json"))
    assert job["args"] == {"a": 1}


def test_a_queue_is_paused_and_resumed_and_both_may_be_repeated(run: Run) -> None:
    run("job", "enqueue", "add", "--queue", "mail")

    assert [run("queue", "pause", "mail", "--reason", "provider")[0] for _ in range(2)] == [0, 0]
    [mail] = data(run("queue", "list", "--json"))
    assert mail["pause_reason"] == "provider"
    assert data(run("queue", "resume", "mail", "--json")) == {"queue": "mail", "state": "resumed", "changed": True}


def test_status_names_the_queue_nobody_listens_to_and_the_one_that_was_meant(run: Run, database_url: str) -> None:
    assert run("status")[0] == 0
    run("job", "enqueue", "add", "--queue", "mail")

    status, out, _ = run("status")
    assert status == 5
    assert out.startswith("STALLED  queue mail: 1 ready")

    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO holdfast.worker"
            " (name, state, host, pid, incarnation, version, queues, concurrency, has_session, started_at)"
            " VALUES ('w-7', 'live', 'h', 1, '', '', '{mails}', 1, false, holdfast.now())"
        )
    assert 'did you mean "mails"? worker w-7 does' in run("status")[1]


def test_the_schema_is_looked_at_and_brought_up(run: Run, empty_database_url: str) -> None:
    url = ("--database-url", empty_database_url)

    assert run("db", "status", *url)[0] == 5
    assert run("job", "list", *url)[0] == 5
    assert run("db", "wait", "--timeout", "0.2", *url)[0] == 6
    assert len(data(run("db", "migrate", "--json", *url))["applied"]) >= 7
    assert data(run("db", "migrate", "--json", *url)) == {"applied": []}
    assert run("db", "status", *url)[0] == 0
    assert run("db", "validate", *url)[0] == 0
    assert run("db", "wait", *url)[0] == 0
    assert run("db", "prune", *url)[0] == 0


def test_the_schema_is_printed_as_a_script(run: Run) -> None:
    status, out, _ = run("db", "sql")

    assert status == 0
    assert "CREATE TABLE holdfast.job" in out


def test_data_is_not_deleted_without_yes_where_nobody_can_be_asked(run: Run) -> None:
    status, _, err = run("down", "--delete-data")

    assert status == 2
    assert "say --yes" in err


@pytest.mark.parametrize("group", [(), ("job",), ("queue",), ("db",), ("worker",), ("up",), ("status",)])
def test_help_shows_examples(run: Run, group: tuple[str, ...]) -> None:
    status, out, _ = run(*group, "--help")

    assert status == 0
    assert "$ holdfast" in out or group in [("job",), ("queue",), ("db",)]


def test_jobs_are_found_previewed_moved_and_purged_by_filter(run: Run) -> None:
    ids = [int(run("job", "enqueue", "add", f"a={n}", "--queue", "mail")[1]) for n in range(3)]
    found = data(run("job", "list", "--filter", "queue=mail args.a=1", "--json"))
    assert [info["id"] for info in found] == [ids[1]]

    assert run("job", "priority", str(ids[0]), "--to", "1")[0] == 0
    assert data(run("job", "show", str(ids[0]), "--json"))["priority"] == 1
    assert data(run("job", "reschedule", "--filter", "queue=mail args.a=2", "--in", "1h", "--json")) == {"moved": 1}
    assert data(run("job", "show", str(ids[2]), "--json"))["state"] == "scheduled"

    preview = data(run("job", "purge", "--filter", "queue=mail", "--preview", "--json"))
    assert (preview["jobs"], preview["is_exact"]) == (3, True)
    status, _, err = run("job", "purge", "--filter", "queue=mail")
    assert (status, "look with --preview first" in err) == (2, True)
    assert data(run("job", "purge", "--filter", "queue=mail", "--yes", "--json")) == {"purged": 3}
    assert data(run("job", "list", "--json")) == []


def test_a_verb_takes_ids_or_a_filter_and_not_both(run: Run) -> None:
    for arguments in (("job", "purge"), ("job", "cancel", "1", "--filter", "queue=a")):
        status, _, err = run(*arguments)
        assert status == 2
        assert "takes ids or a filter" in err
    assert run("job", "purge", "17")[0] == 3
    status, _, err = run("job", "list", "--filter", "quue=mail")
    assert (status, "did you mean queue?" in err) == (2, True)


def test_arguments_are_edited_checked_by_the_application_or_said_to_need_no_check(run: Run, app_file: str) -> None:
    job_id = run("job", "enqueue", "add", "a=1", "--queue", "mail")[1].strip()
    assert run("job", "edit", job_id, "a=2")[0] == 3, "nobody here knows the task"
    assert run("job", "edit", job_id, "a=two", "--app", app_file)[0] == 2
    assert run("job", "edit", job_id, "a=2", "--app", app_file, "--reason", "typo")[0] == 0
    assert run("job", "edit", job_id, "--args", '{"c": 3}', "--unchecked")[0] == 0
    shown = data(run("job", "show", job_id, "--json"))
    assert shown["args"] == {"c": 3}
    assert [event["args"] for event in shown["history"]] == [{"a": 1}, {"a": 2}]
    assert "edited (typo), before:" in run("job", "show", job_id)[1]


def test_dead_letters_are_shown_and_driven_again(run: Run, database_url: str) -> None:
    job_id = int(run("job", "enqueue", "add", "a=1", "--queue", "mail")[1])
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("DELETE FROM holdfast.ready")
        admin.execute(
            "INSERT INTO holdfast.outcome (job_id, lease, state, attempt, finished_at, error)"
            ' VALUES (%s, 0, 2, 1, now(), \'{"type": "Boom", "message": "no"}\')',
            (job_id,),
        )
    (group,) = data(run("job", "dead", "--json"))["groups"]
    assert (group["task"], group["error_type"], group["jobs"]) == ("add", "Boom", 1)
    assert data(run("job", "redrive", "--filter", "error=Boom", "--preview", "--json"))["jobs"] == 1
    assert data(run("job", "redrive", "--filter", "error=Boom", "--json")) == {"moved": 1}
    assert data(run("job", "show", str(job_id), "--json"))["state"] == "ready"
    assert run("job", "redrive")[0] == 2


def test_limits_are_listed_set_and_reset(run: Run, database_url: str) -> None:
    assert "no limits" in run("limit", "list")[2]
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "select holdfast.declare_limits_v1('{limit:api,rate:mail}', '{5,100}', '{null,60000000}',"
            " array['{}', '{}']::jsonb[])"
        )
    assert run("limit", "set", "api", "7")[0] == 0
    found = {(limit["kind"], limit["name"]): limit for limit in data(run("limit", "list", "--json"))}
    assert (found["limit", "api"]["capacity"], found["limit", "api"]["declared"]) == (7, 5)
    assert found["rate", "mail"]["per_seconds"] == 60
    assert "declared 5" in run("limit", "list")[1]
    assert run("limit", "reset", "api")[0] == 0
    assert data(run("limit", "list", "--json"))[0]["capacity"] == 5
    status, _, said = run("limit", "set", "apy", "7")
    assert status == 2
    assert "holdfast limit list" in said
