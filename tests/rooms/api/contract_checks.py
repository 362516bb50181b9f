"""What schemathesis is told about this API beyond its description; loaded by its command, not by pytest."""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT")


@schemathesis.check
def valid_data_fits(_context: Any, response: Any, case: Any) -> bool | None:
    """What fits the description is not refused by it.

    It may be refused for what no description can say: a filter that is none, a cursor of another list. Such refusals
    have a code of their own. The bounds of a moment cannot be said either.
    """
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE and response.status_code == 422:
        problem = response.json()
        refused = [one for one in problem.get("errors", []) if not _MOMENT.search(one["message"])]
        assert problem["code"] != "request_invalid" or not refused, response.text
    return None


@schemathesis.check
def errors_are_problems(_context: Any, response: Any, _case: Any) -> bool | None:
    """Whoever is refused is told what, why and what to do, and nothing of our inside."""
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"], response.headers
        problem = response.json()
        assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
        assert problem["status"] == response.status_code
        assert "Traceback" not in response.text
    return None
