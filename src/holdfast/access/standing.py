"""Whether those who were let in would still be: for answers that have no end of their own."""

from __future__ import annotations

from collections.abc import Collection

from holdfast.access.principal import Principal
from holdfast.db import Database, load_statements

_SQL = load_statements("holdfast.access", "access.sql")


async def find_ended(database: Database, known: Collection[Principal], *, idle_seconds: float) -> frozenset[Principal]:
    """Those whose token or session has ended since, in one statement; none is asked when nobody has either.

    A bearer token of an OIDC issuer cannot be taken back here; ``Principal.expires_at`` says when it ends.
    """
    tokens = {who.token_id for who in known if who.kind == "token" and who.token_id is not None}
    sessions = {who.session_id for who in known if who.session_id is not None}
    if not tokens and not sessions:
        return frozenset()
    rows = await database.fetch(_SQL["find_ended"], sorted(tokens), sorted(sessions), idle_seconds)
    ended = {(str(row["kind"]), int(row["id"])) for row in rows}
    return frozenset(
        who for who in known if (who.kind, who.session_id if who.kind == "session" else who.token_id) in ended
    )
