"""The types of the dashboard are made of ``web/openapi.json``; it says what the API answers, or the check is blind."""

from __future__ import annotations

from tools.openapi import TARGET, described


def test_the_description_in_web_is_that_of_the_api() -> None:
    assert TARGET.read_text(encoding="utf-8") == described(), "run: make schema"
