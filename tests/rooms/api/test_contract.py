"""The API answers as its description says: schemathesis makes up requests against a real process, for every role."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Role, Tokens
from tests.rooms.api.every_route import every_route
from tests.rooms.api.processes import serving
from tests.servers import DatabaseServer

HERE = Path(__file__).parent
# It would revoke its own token sooner or later.
LEFT_OUT = {"revoke_token", *(route.operation for route in every_route() if route.declared.endless)}
COMMAND = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
COMMAND += [f"--config-file={HERE / 'contract.toml'}", "run"]


async def make_token(database_url: str, role: Role) -> str:
    async with Holdfast(database_url) as app:
        return (await Tokens(app.database).create(role, by="test", role=role))[1]


@pytest.fixture(scope="module")
def database(server: DatabaseServer) -> Iterator[str]:
    """What all of them ask about: whoever comes later finds what the ones before made."""
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture(scope="module")
def served(database: str) -> Iterator[str]:
    """An API that demands to know who asks."""
    with serving(database) as url:
        yield url


def contract(
    served: str, description: str, token: str | None, *options: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Have schemathesis compare what is served with a description."""
    return subprocess.run(
        [
            *COMMAND,
            description,
            f"--url={served}",
            *([] if token is None else [f"--header=Authorization: Bearer {token}"]),
            "--checks=all",
            # Said more precisely by a check of ours.
            "--exclude-checks=positive_data_acceptance",
            "--continue-on-failure",
            "--generation-database=none",
            "--warnings=off",
            *options,
        ],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "contract_checks.py"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


# What can be sent at all is made up for the admin, whom nothing stops before it is looked at: every bound and every gap
# of every parameter (coverage), then more at random. The others send a few requests of their own to each route: each
# role has its own seed, so together they have sent more than any of them.
ROLES = [role for role in Role if role is not Role.ADMIN]
PHASES: dict[Role, list[str]] = {
    Role.ADMIN: ["--phases=coverage,fuzzing,stateful", "--max-examples=3"],
    **{role: ["--phases=fuzzing", "--max-examples=1", f"--seed={seed}"] for seed, role in enumerate(ROLES)},
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", Role)
def test_the_api_is_as_it_is_described(served: str, database: str, role: Role, tmp_path: Path) -> None:
    left_out = [f"--exclude-operation-id={name}" for name in sorted(LEFT_OUT)]
    with contextlib.ExitStack() as stack:
        # The public has no credential; where it is off, it is nobody.
        is_public = role is Role.PUBLIC
        token = None if is_public else asyncio.run(make_token(database, role))
        url = stack.enter_context(serving(database, public_read="on")) if is_public else served
        done = contract(url, f"{url}/api/v1/openapi.json", token, *PHASES[role], *left_out, folder=tmp_path)

    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]


# What is said where an answer is not what the description says.
SAID = ("is not of type", '"age" is a required property', "request_invalid")


def test_a_description_that_lies_is_seen(served: str, database: str, tmp_path: Path) -> None:
    """A field of another type, a field that is not sent, a limit that is refused."""
    token = asyncio.run(make_token(database, Role.ADMIN))
    described = httpx.get(f"{served}/api/v1/openapi.json").json()
    schemas = described["components"]["schemas"]
    schemas["MeOut"]["properties"]["name"] = {"type": "integer"}
    schemas["InfoOut"]["properties"]["age"] = {"type": "integer"}
    schemas["InfoOut"]["required"].append("age")
    for parameter in described["paths"]["/api/v1/audit"]["get"]["parameters"]:
        if parameter["name"] == "limit":
            parameter["schema"] |= {"minimum": 250, "maximum": 400, "default": 300}
    file = tmp_path / "lies.json"
    file.write_text(json.dumps(described))
    only = [f"--include-operation-id={name}" for name in ("show_me", "show_info", "list_audit")]
    done = contract(served, str(file), token, "--phases=coverage", *only, folder=tmp_path)

    assert done.returncode == 1, done.stdout[-4_000:] + done.stderr[-2_000:]
    assert [said for said in SAID if said not in done.stdout] == []
