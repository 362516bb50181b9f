"""Jobs as tables and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from holdfast.cli.screen import ago, number, plain, screen, table
from holdfast.jobs import JobInfo, LogLine, Progress, span

_STYLES = {
    "completed": "green",
    "failed": "bold red",
    "running": "cyan",
    "ready": "yellow",
    "scheduled": "blue",
    "cancelled": "dim",
}
_LEVEL_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red", "debug": "dim"}
_ARGUMENTS_SHOWN = 60


def show_jobs(found: Sequence[JobInfo], *, more: bool) -> None:
    """A line per job."""
    if not found:
        screen.say("no jobs")
        return
    lines = table("ID", "STATE", "TASK", "QUEUE", "TRY", "WHEN", "WHAT", right=("TRY",))
    for info in found:
        lines.add_row(
            str(info.id), _state(info.state), info.task, info.queue, _tries(info), _when(info), Text(_what(info))
        )
    screen.out.print(lines)
    if more:
        screen.say(f"… older ones: --before {found[-1].id}")


def show_job(info: JobInfo, history: list[dict[str, Any]], *, as_json: bool) -> None:
    """A page about one job; at its end the traceback of the newest error."""
    if as_json:
        screen.json({**plain(info), "history": history})
        return
    facts: dict[str, Any] = {
        "job": str(info.id),
        "state": _state(info.state),
        "task": info.task,
        "queue": f"{info.queue}, priority {info.priority}",
        "arguments": json.dumps(info.args, default=str),
        "attempt": _tries(info),
        "enqueued": ago(info.enqueued_at),
        "due": ago(info.due_at),
        "started": ago(info.started_at),
        "finished": ago(info.finished_at),
        "took": span((info.finished_at - info.started_at).total_seconds())
        if info.finished_at and info.started_at
        else "",
        "worker": info.worker,
        "progress": told_progress(info.progress),
        "unique key": info.unique_key,
        "batch": info.batch,
        "result": None if info.result is None else json.dumps(info.result, default=str),
        "cancel": "requested" if info.cancel_requested else None,
    }
    page = table("", "")
    page.show_header = False
    for name, value in facts.items():
        if value not in (None, ""):
            page.add_row(Text(name, style="bold"), value if isinstance(value, Text) else Text(str(value)))
    screen.out.print(page)
    for event in history:
        screen.write(_told(event))
    error = info.error or next((event["error"] for event in reversed(history) if event.get("error")), None)
    if error and error.get("traceback"):
        screen.write("\n" + str(error["traceback"]).rstrip())


def show_log_line(line: LogLine, *, as_json: bool) -> None:
    """One line of a job's log; flushed, for somebody may be following."""
    if as_json:
        print(json.dumps(plain(line)), flush=True)  # noqa: T201 - data for programs, a line each
        return
    moment = line.at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    level = Text(f"{line.level:7}", style=_LEVEL_STYLES.get(line.level, ""))
    screen.out.print(Text.assemble(moment, " ", level, f" {line.logger}  {line.message}"), soft_wrap=True)


def ids_only(answers: Mapping[int, str], *, as_json: bool, good: tuple[str, ...]) -> None:
    """What became of each of several jobs."""
    if as_json:
        screen.json([{"id": job_id, "answer": answer} for job_id, answer in answers.items()])
        return
    for job_id, answer in answers.items():
        screen.out.print(Text.assemble(f"{job_id}  ", (answer, "green" if answer in good else "red")))


def told_progress(progress: Progress | None) -> str | None:
    """``300 of 1 000 (30 %), matching, 2 s ago``."""
    if progress is None:
        return None
    told = number(progress.done)
    if progress.total:
        told = f"{told} of {number(progress.total)} ({100 * progress.done // progress.total} %)"
    return ", ".join(part for part in (told, progress.message, ago(progress.reported_at)) if part)


def _state(state: str) -> Text:
    return Text(state, style=_STYLES.get(state, ""))


def _tries(info: JobInfo) -> str:
    return f"{info.attempt}/{info.max_attempts}" if info.max_attempts else str(info.attempt or "")


def _when(info: JobInfo) -> str:
    if info.state == "scheduled":
        return ago(info.due_at)
    return ago(info.finished_at or info.started_at or info.enqueued_at)


def _what(info: JobInfo) -> str:
    """How far a running job is, the error of a failed one, or else its arguments."""
    if info.progress and info.state == "running":
        told = told_progress(info.progress) or ""
    elif info.error:
        told = f"{info.error.get('type', '')}: {info.error.get('message', '')}".splitlines()[0]
    else:
        told = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in (info.args or {}).items())
    return told if len(told) <= _ARGUMENTS_SHOWN else told[: _ARGUMENTS_SHOWN - 1] + "…"


def _told(event: Mapping[str, Any]) -> str:
    if event["what"] == "lost":
        counted = "" if event["counted"] else ", not counted"
        return f"  {ago(event['at'])}: lost with worker {event['worker']}{counted}"
    error = event["error"] or {}
    message = str(error.get("message", "")).splitlines()
    told = f"{error.get('type', 'error')}: {message[0] if message else ''}"
    return f"  {ago(event['at'])}: attempt {event['attempt']} on worker {event['worker']} failed: {told}"
