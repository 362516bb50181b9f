"""A command changes things only through ``act`` and ``do``, which write the audit: not through an open application."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from holdfast.access import Tokens
from holdfast.events import EventLog
from holdfast.events.projections import Projections
from holdfast.jobs import Batches, Failures, Jobs, LimitConsole, Operations, Queues
from holdfast.schedules import Schedules
from tests.architecture.source import Source, sources

# What commands call on an application to look. Every other method of a console changes something, until it stands here.
LOOKS = {
    *("show", "list", "history", "timeline", "why", "logs", "follow_logs", "children", "pages", "wait", "result"),
    *("preview", "find", "lines", "counts", "tasks", "search", "next_id", "show_many", "where", "log_page"),
    *("members", "ids", "is_within", "workers", "next", "occurrences", "preview_backfill", "depths"),
    *("lag", "parked", "skipped", "caught_up", "models", "principal_of", "read", "read_last", "read_stream"),
    *("iterate", "tail", "settled", "state", "streams", "version_of", "position_at", "decide", "close"),
    "create_first",  # the token of the first start, which nobody asked for
}
CONSOLES = (Batches, EventLog, Failures, Jobs, LimitConsole, Operations, Projections, Queues, Schedules, Tokens)
ACTS = {
    name for console in CONSOLES for name, _ in inspect.getmembers(console, callable) if not name.startswith("_")
} - LOOKS


_ON_AN_APPLICATION = re.compile(
    r"\b(app|opened|application)\.(jobs|queues|schedules|events|projections|batches|limits|failures|operations|database)\b"
)


def unwritten_acts(source: Source) -> list[str]:
    """Calls of a console's verb on an application, or on consoles over its own handle."""
    if not source.path.startswith("src/holdfast/cli/"):
        return []
    found = []
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ACTS):
            continue
        text = ast.unparse(node.func)
        if _ON_AN_APPLICATION.search(text):
            found.append(source.at(node.lineno, f"{text} leaves no row in the audit; do it with act()"))
    return found


def test_commands_change_nothing_past_the_audit() -> None:
    assert {"cancel", "pause", "edit", "append", "reset", "revoke", "mark", "backfill"} <= ACTS
    assert [problem for source in sources("src/holdfast/cli") for problem in unwritten_acts(source)] == []


@pytest.mark.parametrize(
    "line",
    [
        "app.queues.pause(queue)",
        "app.jobs.where(text).redrive()",
        "opened.jobs.purge(*ids)",
        "Tokens(app.database).revoke(4, by=who())",
    ],
)
def test_an_act_past_the_audit_is_seen(line: str) -> None:
    assert len(unwritten_acts(Source("src/holdfast/cli/x.py", f"async def work(app):\n    await {line}\n"))) == 1
