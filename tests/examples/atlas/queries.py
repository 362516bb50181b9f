"""The statements of these tests, by name."""

from __future__ import annotations

from holdfast.db import load_statements


def query(name: str) -> str:
    """The text of one section of queries.sql."""
    return load_statements("tests.examples.atlas", "queries.sql")[name].sql
