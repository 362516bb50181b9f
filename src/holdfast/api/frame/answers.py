"""What nouns make their answers of, and how the refusal of a value by a console becomes one of the request."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from holdfast.errors import ConfigurationError, ValueRefused


class Out(BaseModel):
    """An answer, made of whatever has attributes of these names: ``QueueOut.model_validate(info)``.

    A field with a default is sent all the same, and the description says so.
    """

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


@contextlib.contextmanager
def refusing_values() -> Iterator[None]:
    """Around a call with values of the request: what cannot be is the caller's mistake (422), not one of ours."""
    try:
        yield
    except ConfigurationError as error:
        raise ValueRefused(error.message, remedy=error.remedy) from None
