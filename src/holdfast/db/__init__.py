"""The database room: pools, statements, callers' connections, the listener, migrations."""

from __future__ import annotations

from holdfast.db.database import Database
from holdfast.db.statements import Statement, load_statements

__all__ = ["Database", "Statement", "load_statements"]
