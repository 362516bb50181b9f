"""Bearer tokens of an issuer that runs here: its keys are fetched over HTTP, as anybody's are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from holdfast.access import Oidc, OidcOptions, Permission, Role
from holdfast.clock import now
from holdfast.errors import ConfigurationError, IssuerUnavailable, Unauthenticated
from tests.rooms.access.issuing import AUDIENCE, Issuer, issuing


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


def oidc_of(issuer: Issuer, **options: Any) -> Oidc:
    return Oidc(OidcOptions(issuer.url, AUDIENCE, **options))


async def test_a_token_of_the_issuer_lets_in_with_the_roles_it_names(issuer: Issuer) -> None:
    credential = await oidc_of(issuer).credential_of(issuer.token(roles=["operator", "unknown"]))
    who = credential.principal

    assert (who.name, who.kind, who.roles, who.key) == ("ada", "oidc", (Role.OPERATOR,), "oidc:u-1")
    assert Permission.JOBS_RETRY in who.permissions
    assert credential.expires_at is not None
    assert credential.expires_at > now()


@pytest.mark.parametrize(
    ("options", "claims", "roles"),
    [
        ({}, {"roles": None}, ()),
        ({}, {"roles": "viewer metrics"}, (Role.METRICS, Role.VIEWER)),
        ({}, {"roles": [7, None, {"a": 1}, "viewer"]}, (Role.VIEWER,)),
        (
            {"roles_claim": "realm_access.roles", "roles": {"platform": Role.ADMIN}},
            {"realm_access": {"roles": ["platform", "viewer"]}},
            (Role.ADMIN,),
        ),
        ({"roles_claim": "realm_access.roles"}, {"realm_access": "viewer"}, ()),
    ],
)
async def test_what_its_claims_mean_is_a_setting(
    issuer: Issuer, options: dict[str, Any], claims: dict[str, Any], roles: tuple[Role, ...]
) -> None:
    who = (await oidc_of(issuer, **options).credential_of(issuer.token(**claims))).principal

    assert who.roles == roles


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": now() - timedelta(minutes=1)},
        {"exp": now() - timedelta(seconds=1)},
        {"exp": None},
        {"sub": None},
        {"aud": "somebody else"},
        {"aud": None},
        {"iss": "https://somebody.else.example"},
        {"nbf": now() + timedelta(days=1)},
    ],
)
async def test_a_token_for_others_or_for_another_time_is_refused(issuer: Issuer, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        await oidc_of(issuer).credential_of(issuer.token(**claims))


async def test_a_token_that_somebody_else_signed_is_refused(issuer: Issuer) -> None:
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    with pytest.raises(Unauthenticated):
        await oidc_of(issuer).credential_of(issuer.token(signed_by=stranger))


async def test_a_token_signed_with_a_shared_secret_or_with_nothing_is_refused(issuer: Issuer) -> None:
    oidc = oidc_of(issuer)
    shared = issuer.token(signed_by="a shared secret that is long enough for the library", algorithm="HS256")
    nothing: Any = None
    unsigned = jwt.encode({"sub": "u-1", "aud": AUDIENCE, "iss": issuer.url}, nothing, "none", headers={"kid": "first"})

    for token in (shared, unsigned, "a.b.c", "x" * 20_000 + ".y.z", issuer.token()[:-4]):
        with pytest.raises(Unauthenticated):
            await oidc.credential_of(token)


async def test_a_new_key_is_found_and_an_unknown_one_does_not_flood_the_issuer(issuer: Issuer) -> None:
    oidc = oidc_of(issuer)
    await oidc.credential_of(issuer.token())
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await oidc.credential_of(issuer.token("unknown", signed_by=issuer.private["first"]))

    assert issuer.times_asked("/keys") <= 2
    assert issuer.times_asked("/.well-known/openid-configuration") == 1


async def test_keys_are_fetched_once_for_many_that_come_together(issuer: Issuer) -> None:
    oidc, token = oidc_of(issuer), issuer.token()
    await asyncio.gather(*(oidc.credential_of(token) for _ in range(20)))

    assert issuer.times_asked("/keys") == 1


async def test_a_key_on_a_curve_is_understood(issuer: Issuer) -> None:
    issuer.add_key("curve", curve=True)

    assert (await oidc_of(issuer).credential_of(issuer.token("curve", algorithm="ES256"))).principal.name == "ada"


async def test_an_issuer_that_is_away_refuses_nobody_for_ever(issuer: Issuer) -> None:
    oidc, issuer.down = oidc_of(issuer), True
    with pytest.raises(IssuerUnavailable):
        await oidc.credential_of(issuer.token())
    issuer.down = False

    assert (await oidc.credential_of(issuer.token())).principal.name == "ada"


async def test_those_who_come_together_ask_an_issuer_that_is_away_once(issuer: Issuer) -> None:
    oidc, issuer.down = oidc_of(issuer), True
    answers = await asyncio.gather(*(oidc.credential_of(issuer.token()) for _ in range(20)), return_exceptions=True)

    assert {type(answer) for answer in answers} == {IssuerUnavailable}
    assert issuer.times_asked("/.well-known/openid-configuration") <= 2


async def test_keys_stay_when_the_issuer_goes_away(issuer: Issuer) -> None:
    oidc = oidc_of(issuer)
    await oidc.credential_of(issuer.token())
    issuer.down = True

    assert (await oidc.credential_of(issuer.token())).principal.name == "ada"


@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://issuer.example", "file:///etc/passwd"])
def test_an_issuer_without_tls_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        Oidc(OidcOptions(url, AUDIENCE))
