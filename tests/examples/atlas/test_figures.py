"""Adoption from answers of the counting services.

The answers are written by hand in the shape those services give them, for projects that do not exist: nothing here was
recorded from a live service, so a change of their format is not noticed by these tests.
"""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from examples.atlas.figures import downloads, popularity
from examples.atlas.metrics import adoption
from examples.atlas.packages import ecosystem_of

ANSWERS = json.loads((Path(__file__).parent / "responses" / "answers.json").read_text(encoding="utf-8"))


def figures_of(repository: str) -> dict[str, float | None]:
    given = dict(ANSWERS[repository])
    known: dict[str, float | None] = dict(popularity(given.pop("hosting")))
    counted = [downloads(ecosystem_of(purl), answer) for purl, answer in given.items()]
    if any(count is not None for count in counted):
        known["downloads"] = sum(count for count in counted if count is not None)
    return known


def test_figures_are_found_and_summed_over_packages() -> None:
    assert figures_of("pkg:github/example/alpha") == {"stars": 950, "forks": 120, "downloads": 70000}
    assert figures_of("pkg:github/example/beta") == {"stars": 40, "forks": 120, "downloads": 1200}


def test_an_answer_without_figures_is_no_data() -> None:
    assert figures_of("pkg:github/example/gamma") == {"stars": 3, "forks": 0}
    assert figures_of("pkg:github/example/delta") == {}
    assert downloads("pypi", {"data": None}) is None
    assert downloads("pypi", {"data": {"last_month": -1}}) is None
    assert downloads("unheard-of", {"downloads": 1}) is None


def test_adoption_of_the_answers() -> None:
    scores = adoption({repository: figures_of(repository) for repository in ANSWERS})

    assert scores == {
        "pkg:github/example/alpha": Decimal("50.00"),  # downloads 1/2, stars 2/3, forks 1/3
        "pkg:github/example/beta": Decimal("22.22"),  # downloads 0, stars 1/3, forks 1/3 (equal to alpha's)
        "pkg:github/example/gamma": Decimal("0.00"),
        "pkg:github/example/delta": None,
    }
