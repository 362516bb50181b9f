"""In each of ten bad situations the verdict says what is wrong; and in none, nothing."""

from __future__ import annotations

import re

import pytest

from holdfast import Holdfast
from holdfast.observe import Status, judge, look
from tests.situations.ten import TEN, Situation


@pytest.mark.parametrize("situation", TEN, ids=str)
async def test_the_verdict_says_what_is_wrong(situation: Situation, app: Holdfast, database_url: str) -> None:
    assert judge(await look(app.database)).status is Status.OK
    async with situation.seeded(database_url):
        verdict = judge(await look(app.database))

    told = [reason.text for reason in verdict.reasons if reason.kind == situation.kind]
    assert any(re.search(situation.sentence, text) for text in told), [reason.text for reason in verdict.reasons]
    assert verdict.status == situation.status
