"""What every route of the API has in common, whatever its noun."""

from __future__ import annotations
