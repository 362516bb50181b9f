"""Every feature of the table names a test that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.architecture.source import ROOT
from tests.docs.pages import Page, page

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def missing_tests(one: Page) -> Iterator[str]:
    """Rows without a test, and tests that are not where the row says."""
    for line in one.text.splitlines():
        if not line.startswith("| ") or line.startswith("| feature "):
            continue
        found = _TEST.search(line)
        if found is None:
            yield f"no test: {line}"
        elif not re.search(rf"^(async )?def {found[2]}\(", (ROOT / found[1]).read_text(encoding="utf-8"), re.MULTILINE):
            yield f"{found[1]} has no {found[2]}"


def test_every_feature_has_its_test() -> None:
    features = page(ROOT / "docs" / "reference" / "features.md")
    assert len(_TEST.findall(features.text)) > 30
    assert list(missing_tests(features)) == []


def test_a_claim_without_a_test_is_seen() -> None:
    bad = Page("bad.md", "| Flying | yes | by wings |\n| Diving | y | `tests/docs/test_features.py::test_diving` |\n")
    assert len(list(missing_tests(bad))) == 2
