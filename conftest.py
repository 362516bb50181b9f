"""Hypothesis profiles, for every test below this folder.

They differ only in how long they search; a failure found under any of them is a failure.
"""

from __future__ import annotations

import os

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
