"""What PostgreSQL says about the tables that a projection declares, as a refusal that names what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from holdfast.db import DRIVER_ERRORS
from holdfast.errors import ProjectionError

_REMEDIES = {
    "42P01": "make it, or correct tables=(…) of the projection: names are looked for on the search_path",
    "42501": "let the role of this program do that: to build a model beside the live one it creates a schema, to reset "
    "one it empties the tables",
}


@contextlib.contextmanager
def refusing_tables(name: str, refusal: type[ProjectionError]) -> Iterator[None]:
    """Around a statement that makes or empties tables of ``name``: one is not there, or is not ours to change."""
    try:
        yield
    except DRIVER_ERRORS as error:
        remedy = _REMEDIES.get(str(getattr(error, "sqlstate", None)))
        if remedy is None:
            raise
        raise refusal(f"the tables of projection {name!r}: {str(error).splitlines()[0]}", remedy=remedy) from error
