"""What roles permit, and what nobody is shown."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest

from holdfast.access import (
    HIDDEN,
    LOCAL,
    NOBODY,
    PUBLIC,
    ROLES,
    Openness,
    Permission,
    Principal,
    Role,
    redacted,
    redacted_text,
)
from holdfast.errors import Forbidden, Unauthenticated

READS = {permission for permission in Permission if permission.endswith(":read")}


def test_roles_grow_from_public_to_admin() -> None:
    assert ROLES[Role.PUBLIC] < ROLES[Role.VIEWER] < ROLES[Role.OPERATOR] < ROLES[Role.ADMIN] == set(Permission)


def test_a_viewer_reads_everything_but_what_is_private() -> None:
    private = {Permission.AUDIT_READ, Permission.SETTINGS_READ}

    assert ROLES[Role.VIEWER] == READS - private
    assert Permission.JOBS_ARGS not in ROLES[Role.VIEWER]


def test_programs_do_one_thing() -> None:
    assert ROLES[Role.PRODUCER] == {Permission.JOBS_ENQUEUE}
    assert ROLES[Role.METRICS] == {Permission.METRICS_READ}


def test_an_operator_destroys_nothing() -> None:
    destroys = {
        Permission.JOBS_PURGE,
        Permission.JOBS_EDIT,
        Permission.PROJECTIONS_REBUILD,
        Permission.DATABASE_TERMINATE,
        Permission.TOKENS_MANAGE,
    }

    assert not destroys & ROLES[Role.OPERATOR]


def test_a_stranger_is_asked_for_a_name_and_a_known_one_is_told_what_is_missing() -> None:
    viewer = Principal("ada", "token", ROLES[Role.VIEWER])

    for stranger in (NOBODY, PUBLIC):
        with pytest.raises(Unauthenticated):
            stranger.demand(Permission.JOBS_CANCEL)
    with pytest.raises(Forbidden, match="ada has no permission jobs:cancel"):
        viewer.demand(Permission.JOBS_CANCEL)
    LOCAL.demand(Permission.JOBS_CANCEL)


def test_nobody_may_only_what_anybody_may() -> None:
    assert NOBODY.may(Openness.ANYBODY)
    assert not NOBODY.may(Openness.SIGNED_IN)
    assert PUBLIC.may(Openness.SIGNED_IN)


def test_a_principal_of_some_queues_touches_no_other() -> None:
    ada = Principal("ada", "token", ROLES[Role.ADMIN], queues=frozenset({"mail"}))

    ada.demand_queue("mail")
    with pytest.raises(Forbidden, match="exports"):
        ada.demand_queue("exports")


def test_sessions_of_two_people_with_one_name_are_told_apart() -> None:
    ada, other = (Principal("ada", "session", frozenset(), session_id=number) for number in (1, 2))

    assert ada.key != other.key


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_passwd",
        "user-pwd",
        "passphrase",
        "secret",
        "clientSecret",
        "SECRET_KEY",
        "apiKey",
        "api_key",
        "X-API-Key",
        "accessToken",
        "auth_token",
        "authorization",
        "X-Auth-Token",
        "cookie",
        "privateKey",
        "credentials",
        "csrf",
        "accesstoken",
        "APIToken",
        "JWTToken",
        "AccountKey",
        "ssh_key",
        "totp",
        "cvc",
        "passcode",
    ],
)
def test_a_key_that_looks_secret_hides_its_value(key: str) -> None:
    assert redacted({key: "hunter2"}) == {key: HIDDEN}
    assert redacted([{"deep": {key: ["hunter2"]}}]) == [{"deep": {key: HIDDEN}}]


@pytest.mark.parametrize(
    "value",
    [
        {"author": "Ada", "tokens_used": 7, "keyboard": "de", "passenger": "Bob", "compass": 1, "primary_key": 3},
        {"idempotency_key": "a", "routing_key": "b", "tokenizer": "c", "HTTPStatus": 200, "spin": 1},
        {"password": None, "secret": "", "is_secret": True},
        ["plain", 1.5, None],
        "https://example.org/a?b=c",
    ],
)
def test_what_does_not_look_secret_stays(value: Any) -> None:
    assert redacted(value) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("could not reach postgresql://app:hunter2@db/x", "could not reach postgresql://app:***@db/x"),
        ("Authorization: Bearer abcdefgh12345678", f"Authorization: Bearer {HIDDEN}"),
        ("used hft_0123456789abcdefXYZ today", f"used {HIDDEN} today"),
    ],
)
def test_secrets_inside_text_are_hidden(text: str, shown: str) -> None:
    assert redacted_text(text) == shown


@pytest.mark.parametrize("piece", ["a.", "a://", "http://a:80/,", "redis://u:p", "bearer ", "basic abcdefgh", "hft_"])
def test_no_text_takes_long_to_look_through(piece: str) -> None:
    began = process_time()
    redacted_text(piece * (200_000 // len(piece)) + " @")

    assert process_time() - began < 5.0  # unbounded, the pattern took minutes
