"""The audit is long: whoever looks for what was done to one thing does not read all of it."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.db import load_statements

PAGE = load_statements("holdfast.access", "access.sql")["audit_page"].sql
NOBODYS = {"actor": None, "action": None, "since": None, "target": None}


@pytest.mark.parametrize(
    ("sought", "index"),
    [({"actor": "a-7"}, "audit_actor"), ({"action": "act-7"}, "audit_action"), ({"target": "t-7"}, "audit_about")],
)
async def test_a_page_of_one_actor_action_or_target_has_its_index(
    outsider: Any, sought: dict[str, Any], index: str
) -> None:
    await outsider.execute(
        "insert into holdfast.audit (actor, actor_kind, action, result, target_kind, target) "
        "select 'a-' || n, 'token', 'act-' || n, 'done', 'job', 't-' || n from generate_series(1, 20000) n"
    )
    await outsider.execute("analyze holdfast.audit")
    plan = await outsider.fetch(f"explain {PAGE}", 2**63 - 1, *{**NOBODYS, **sought}.values(), 50)

    assert any(index in row[0] for row in plan), plan
