"""Functions of the schema that stop at a gate between two of their statements, so that somebody can be killed there."""

from __future__ import annotations

import re

from tests.interleavings.stage import Stage

GATE = 88
"""The class of the advisory lock ``(GATE, 0)``: who holds it keeps the gate shut."""
DIES = "holdfast_test.dies"
"""Sessions that have this set to ``here`` stop at the gate; those who take over run the same functions."""
# EXECUTE, because it leaves FOUND alone.
WAIT = (
    f"EXECUTE 'SELECT CASE WHEN current_setting(''{DIES}'', true) = ''here''"
    f" THEN pg_advisory_xact_lock_shared({GATE}, 0) END';"
)
# At the outermost level of a body: where one statement has ended and the next begins.
_BOUNDARY = re.compile(r"(?<=;)\n(?= {4}(?!END|ELS|EXCEPTION)[A-Z])|(?<=\nBEGIN)\n")


async def gated(stage: Stage, function: str) -> list[str]:
    """The function's text once for every point at which a statement begins, each with a wait there."""
    source: str = await stage.watch.fetchval("select pg_get_functiondef(('holdfast.' || $1)::regproc)", function)
    points = [found.end() for found in _BOUNDARY.finditer(source)]
    assert points, f"{function} has no statement to be killed in"
    return [f"{source[:point]}    {WAIT}\n{source[point:]}" for point in points]
