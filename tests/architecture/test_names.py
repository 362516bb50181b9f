"""A module is named after what it holds. A name that could hold anything will."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from tests.architecture.source import Source, sources

FORBIDDEN = re.compile(r"(^|_)(utils?|helpers?|common|base|managers?)(_|$)")


def names_that_say_nothing(source: Source) -> list[str]:
    parts = PurePosixPath(source.path).with_suffix("").parts
    return [source.at(1, f"{part!r} says nothing about what is in it") for part in parts if FORBIDDEN.search(part)]


def test_modules_and_folders_say_what_they_hold() -> None:
    everything = sources("src", "tests", "tools", "examples", "benchmarks")

    assert [problem for source in everything for problem in names_that_say_nothing(source)] == []


@pytest.mark.parametrize(
    "path",
    [
        "src/holdfast/utils.py",
        "src/holdfast/jobs/helpers.py",
        "src/holdfast/common/json.py",
        "src/holdfast/worker/base.py",
        "src/holdfast/worker/job_manager.py",
        "tests/test_helper.py",
    ],
)
def test_a_name_that_says_nothing_is_seen(path: str) -> None:
    assert names_that_say_nothing(Source(path, ""))


@pytest.mark.parametrize("path", ["src/holdfast/db/database.py", "src/holdfast/jobs/baseline.py"])
def test_a_longer_word_is_not_mistaken_for_one(path: str) -> None:
    assert not names_that_say_nothing(Source(path, ""))
