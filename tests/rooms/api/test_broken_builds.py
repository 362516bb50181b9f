"""Each promise of the frame, broken on purpose: the tests that guard it must notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast import Holdfast
from holdfast.access import Audit, Permission, Principal, RequestKeys, Role, Tokens
from holdfast.api.frame import acting, routing
from tests.rooms.api import test_acting, test_every_route_and_role, test_idempotency, test_signing_in
from tests.rooms.api.conftest import MakeToken, Serve

Guard = Callable[[Serve, Holdfast, MakeToken, Any], Awaitable[None]]
Break = Callable[[pytest.MonkeyPatch], None]


def everybody_may(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Principal, "demand", lambda _self, _needs: None)


def a_role_grew(patch: pytest.MonkeyPatch) -> None:
    may = Principal.may
    patch.setattr(Principal, "may", lambda self, needs: needs is Permission.TOKENS_MANAGE or may(self, needs))


def no_origin_is_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(routing, "require_same_site", lambda *_: None)


def no_row_is_written(patch: pytest.MonkeyPatch) -> None:
    async def write(*_: Any) -> int:
        return 0

    patch.setattr(Audit, "write", write)


def the_row_is_written_apart(patch: pytest.MonkeyPatch) -> None:
    act_within = acting.act_within

    async def later(app: Holdfast, *rest: Any) -> Any:
        async def nothing(*_: Any) -> int:
            return 0

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Audit, "write", nothing)
            return await act_within(app, *rest)

    patch.setattr(routing, "act_within", later)


def no_key_is_taken(patch: pytest.MonkeyPatch) -> None:
    async def take(*_: Any, **__: Any) -> None:
        return None

    patch.setattr(RequestKeys, "take", take)


def revoked_is_good(patch: pytest.MonkeyPatch) -> None:
    async def revoke(*_: Any, **__: Any) -> str:
        return "somebody"

    patch.setattr(Tokens, "revoke", revoke)


async def guards_roles(serve: Serve, _app: Holdfast, token: MakeToken, _outsider: Any) -> None:
    await test_every_route_and_role.test_a_role_gets_through_where_its_permissions_say(serve, token, Role.METRICS)


async def guards_strangers(serve: Serve, _app: Holdfast, _token: MakeToken, _outsider: Any) -> None:
    await test_every_route_and_role.test_nobody_gets_through_without_a_credential(serve)


async def guards_sites(serve: Serve, app: Holdfast, _token: MakeToken, _outsider: Any) -> None:
    await test_acting.test_another_site_cannot_act(app, await serve(auth=False), {"Origin": "https://evil.example"})


async def guards_sessions(serve: Serve, _app: Holdfast, token: MakeToken, _outsider: Any) -> None:
    await test_signing_in.test_a_session_without_its_csrf_token_cannot_act(serve, token, {})


async def guards_rows(serve: Serve, app: Holdfast, _token: MakeToken, _outsider: Any) -> None:
    await test_acting.test_an_act_and_its_row_are_committed(app, await serve(auth=False))


async def guards_atoms(serve: Serve, app: Holdfast, _token: MakeToken, outsider: Any) -> None:
    await test_acting.test_an_act_without_its_row_is_none(app, await serve(auth=False), outsider)


async def guards_keys(serve: Serve, app: Holdfast, _token: MakeToken, _outsider: Any) -> None:
    await test_idempotency.test_a_request_that_is_repeated_is_done_once(app, await serve(auth=False))


async def guards_tokens(serve: Serve, app: Holdfast, token: MakeToken, _outsider: Any) -> None:
    await test_signing_in.test_a_revoked_token_lets_in_no_more(serve, app, token)


@pytest.mark.parametrize(
    ("breaking", "guard"),
    [
        (everybody_may, guards_roles),
        (everybody_may, guards_strangers),
        (a_role_grew, guards_roles),
        (no_origin_is_looked_at, guards_sites),
        (no_origin_is_looked_at, guards_sessions),
        (no_row_is_written, guards_rows),
        (the_row_is_written_apart, guards_atoms),
        (no_key_is_taken, guards_keys),
        (revoked_is_good, guards_tokens),
    ],
)
async def test_a_broken_build_is_noticed(
    serve: Serve, app: Holdfast, token: MakeToken, outsider: Any, breaking: Break, guard: Guard
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        breaking(patch)
        # However the guard stumbles: over what it compares, or over what it takes for granted.
        with pytest.raises((AssertionError, KeyError, ValueError)):
            await guard(serve, app, token, outsider)
