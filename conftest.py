"""For every test below this folder: profiles of Hypothesis, and when the garbage collector looks.

The profiles differ only in how long they search; a failure found under any of them is a failure.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# Deadlines are off because the machines that run this share their cores: slow is not wrong.
settings.register_profile("default", deadline=None, max_examples=100)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True, print_blob=True)
settings.register_profile(
    "soak",
    parent=settings.get_profile("default"),
    max_examples=5_000,
    suppress_health_check=[HealthCheck.too_slow],
)

# `--hypothesis-profile` on the command line still wins over this choice.
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is made while tests are collected lives as long as the session.

    Looking through it again and again took a third of that time, and a part of every test after.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
