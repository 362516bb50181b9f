"""``holdfast token`` and ``holdfast audit``, as a person types them."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from holdfast import Holdfast
from holdfast.access import Principal, Tokens
from holdfast.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main([*words])
    out, err = capsys.readouterr()
    return status, out, err


def principal_of(database_url: str, secret: str) -> Principal:
    async def ask() -> Principal:
        async with Holdfast(database_url) as app:
            return await Tokens(app.database).principal_of(secret)

    return asyncio.run(ask())


@pytest.fixture
def at(database_url: str) -> str:
    return f"--database-url={database_url}"


def test_a_token_is_made_listed_and_revoked(capsys: pytest.CaptureFixture[str], database_url: str, at: str) -> None:
    status, secret, said = run(capsys, "token", "create", "ada", "--role", "viewer", "--queues", "mail", at)
    who = principal_of(database_url, secret.strip())
    _, listed, _ = run(capsys, "token", "list", at)
    _, rows, _ = run(capsys, "token", "list", "--json", at)
    [row] = json.loads(rows)
    revoked = run(capsys, "token", "revoke", str(row["id"]), at)
    again = run(capsys, "token", "revoke", str(row["id"]), at)
    _, audit, _ = run(capsys, "audit", "list", "--json", at)

    assert (status, "shown this once" in said) == (0, True)
    assert (who.name, who.queues) == ("ada", frozenset({"mail"}))
    assert "ada" in listed
    assert secret.strip() not in listed + rows + audit
    assert (revoked[0], again[0]) == (0, 3)
    assert [(row["action"], row["actor_kind"], row["result"]) for row in json.loads(audit)] == [
        ("token.revoke", "cli", "failed"),
        ("token.revoke", "cli", "done"),
        ("token.create", "cli", "done"),
    ]


def test_a_secret_in_a_file_is_its_owners_alone(
    capsys: pytest.CaptureFixture[str], database_url: str, at: str, tmp_path: Path
) -> None:
    file = tmp_path / "ci.token"
    status, out, _ = run(capsys, "token", "create", "ci", "--permission", "jobs:read", "--out", str(file), at)
    again, _, said = run(capsys, "token", "create", "ci", "--permission", "jobs:read", "--out", str(file), at)

    assert (status, out, again) == (0, "", 2)
    assert "is there already" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert principal_of(database_url, file.read_text().strip()).name == "ci"


def test_no_token_is_made_whose_secret_cannot_be_kept(
    capsys: pytest.CaptureFixture[str], at: str, tmp_path: Path
) -> None:
    file, new = tmp_path / "missing" / "ci.token", tmp_path / "new.token"
    status, _, said = run(capsys, "token", "create", "ci", "--role", "viewer", "--out", str(file), at)
    refused = run(capsys, "token", "create", " ", "--role", "viewer", "--out", str(new), at)[0]

    assert (status, refused, new.exists()) == (2, 2, False)
    assert "remedy: name another file" in said
    assert json.loads(run(capsys, "token", "list", "--json", at)[1]) == []


@pytest.mark.parametrize(
    "words", [("ada",), ("ada", "--role", "emperor"), ("ada", "--permission", "jobs:fly"), (" ", "--role", "viewer")]
)
def test_a_token_that_permits_nothing_is_refused(
    capsys: pytest.CaptureFixture[str], at: str, words: tuple[str, ...]
) -> None:
    assert run(capsys, "token", "create", *words, at)[0] == 2


def test_an_empty_audit_says_so(capsys: pytest.CaptureFixture[str], at: str) -> None:
    assert "no rows" in run(capsys, "audit", "list", "--since", "2h", at)[2]
    assert "no tokens" in run(capsys, "token", "list", at)[2]
