"""Who asks: a name, what it is known by, and what it may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from holdfast.access.roles import ROLES, Openness, Permission, Role
from holdfast.errors import Forbidden, Unauthenticated

Kind = Literal["local", "token", "session", "oidc", "public", "nobody"]
Needs = Permission | Openness


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who asks. ``queues``: the only ones that they may see and touch; ``None``: all."""

    name: str
    kind: Kind
    permissions: frozenset[Permission]
    roles: tuple[Role, ...] = ()
    queues: frozenset[str] | None = None
    session_id: int | None = None
    token_id: int | None = None
    subject: str | None = None
    """Who it is to the issuer of an OIDC token; a name can be given to somebody else."""
    expires_at: datetime | None = None
    """When an OIDC token ends by itself; tokens and sessions of this server end as the database says."""
    csrf_token: str | None = field(default=None, repr=False)
    """What a session must send with every act; ``None`` for whoever is no browser with a cookie."""

    @property
    def key(self) -> str:
        """What stands for this principal wherever names are not unique enough."""
        if self.token_id is not None:
            return f"token:{self.token_id}"
        if self.session_id is not None:  # of an OIDC token: two people may bear one name there
            return f"session:{self.session_id}"
        return f"{self.kind}:{self.subject or self.name}"

    def may(self, needs: Needs) -> bool:
        """Whether it is permitted."""
        if isinstance(needs, Openness):
            return needs is Openness.ANYBODY or self.kind != "nobody"
        return needs in self.permissions

    def demand(self, needs: Needs) -> None:
        """Raise ``Unauthenticated`` or ``Forbidden`` unless it is permitted."""
        if self.may(needs):
            return
        if self.kind in ("nobody", "public"):
            raise Unauthenticated(
                "this needs a token", remedy="send `Authorization: Bearer TOKEN`, or sign in on the dashboard"
            )
        raise Forbidden(
            f"{self.name} has no permission {needs.value}",
            remedy="ask an admin for a token whose role or permissions include it",
        )

    def may_touch(self, queue: str) -> bool:
        """Whether the queue is among those of this principal."""
        return self.queues is None or queue in self.queues

    def demand_queue(self, queue: str) -> None:
        """Raise ``Forbidden`` for a queue that is not theirs."""
        if not self.may_touch(queue):
            raise Forbidden(
                f"{self.name} may not touch queue {queue!r}", remedy="ask an admin for a token that names this queue"
            )


def permissions_of(roles: Iterable[Role], more: Iterable[Permission] = ()) -> frozenset[Permission]:
    """What these roles and permissions permit together."""
    return frozenset(more).union(*(ROLES[role] for role in roles))


LOCAL: Final = Principal("local", "local", ROLES[Role.ADMIN], (Role.ADMIN,))
"""Everybody, where no authentication is configured."""
PUBLIC: Final = Principal("public", "public", ROLES[Role.PUBLIC], (Role.PUBLIC,))
"""Everybody without a credential, where the public role is on."""
NOBODY: Final = Principal("nobody", "nobody", frozenset())
"""Somebody without a credential."""
