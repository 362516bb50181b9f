"""What became of a drain, made from rows: a few lines for a terminal, a page of Markdown for a CI run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.cli.screen import number, screen, span
from holdfast.jobs import ErrorGroup, QueueLeft, WorkDone

_ERRORS_SAID = 10
_ERRORS_WRITTEN = 50


def say(done: WorkDone, ended_early: str | None) -> None:
    """The end of a drain on a terminal: one line of counts, the errors, and what is left."""
    screen.say(f"drained: {_counts(done)}")
    for group in done.errors[:_ERRORS_SAID]:
        which = f"job {group.examples[0]}" if group.jobs == 1 else f"{number(group.jobs)} jobs of"
        screen.say(f"  failed: {which} {group.task}: {_error(group)}")
    hidden = done.failed - sum(group.jobs for group in done.errors[:_ERRORS_SAID])
    if hidden > 0:
        screen.say(f"  … and {number(hidden)} more: holdfast job list --state failed")
    if ended_early is not None:
        screen.say(f"ended before everything was done: {ended_early}")
    for queue in done.left:
        if _unfinished(queue):
            screen.say(f"  left in {queue.queue}: {_left(queue)}")


def markdown(done: WorkDone, ended_early: str | None) -> str:
    """The page of a drain."""
    verdict = "failed" if done.failed else "ended early" if ended_early else "well"
    parts = [
        f"## Holdfast drain: {verdict}",
        f"{_counts(done)} in {span(_seconds(done))} (from {done.began_at:%Y-%m-%d %H:%M:%S} UTC).",
    ]
    if ended_early is not None:
        parts.append(f"**Ended before everything was done**: {_cell(ended_early)}.")
    parts.append(_tasks(done))
    if done.errors:
        parts += ["### Failed", _errors(done.errors[:_ERRORS_WRITTEN])]
    if any(_unfinished(queue) for queue in done.left):
        parts += ["### Left", _lefts(done.left)]
    return "\n\n".join(parts) + "\n"


def _tasks(done: WorkDone) -> str:
    if not done.tasks:
        return "Nothing was runnable."
    rows = (
        (
            work.queue,
            work.task,
            number(work.completed),
            number(work.failed),
            number(work.cancelled),
            span(work.median_seconds),
            span(work.p95_seconds),
            span(work.longest_seconds),
        )
        for work in done.tasks
    )
    return _table(("queue", "task", "completed", "failed", "cancelled", "median", "95 %", "longest"), rows, numbers=2)


def _errors(errors: Sequence[ErrorGroup]) -> str:
    rows = (
        (group.queue, group.task, number(group.jobs), _error(group), ", ".join(map(str, group.examples)))
        for group in errors
    )
    return _table(("queue", "task", "jobs", "error", "for example"), rows)


def _lefts(left: Sequence[QueueLeft]) -> str:
    rows = ((queue.queue, _left(queue)) for queue in left if _unfinished(queue))
    return _table(("queue", "holds"), rows)


def _seconds(done: WorkDone) -> float:
    return (done.ended_at - done.began_at).total_seconds()


def _counts(done: WorkDone) -> str:
    counts = {
        "completed": done.completed,
        "failed": done.failed,
        "cancelled": done.cancelled,
        "tried again": done.retried,
        "lost with a worker and put back": done.lost,
    }
    return ", ".join(f"{number(count)} {name}" for name, count in counts.items() if count or name == "completed")


def _left(queue: QueueLeft) -> str:
    counts = {"ready": queue.ready, "due later": queue.scheduled, "running elsewhere": queue.running}
    told = ", ".join(f"{number(count)} {name}" for name, count in counts.items() if count)
    return f"{told}; the queue is paused" if queue.paused else told


def _unfinished(queue: QueueLeft) -> bool:
    return bool(queue.ready or queue.scheduled or queue.running)


def _error(group: ErrorGroup) -> str:
    return f"{group.type or 'error'}: {group.message or ''}".removesuffix(": ")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int | None = None) -> str:
    rules = ["---:" if numbers is not None and index >= numbers else "---" for index in range(len(head))]
    lines = [head, rules, *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Text that can do nothing to the table or the page around it: errors hold whatever a handler was given."""
    plain = " ".join(text.split()).replace("\\", "\\\\")
    for sign in "|`*_[]<>#":
        plain = plain.replace(sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign])
    return plain
