"""The API answers as its description says: schemathesis makes up requests against a real process, for every role."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Role, Tokens
from holdfast.clock import monotonic
from tests.rooms.api.every_route import every_route

HERE = Path(__file__).parent
# It would revoke its own token sooner or later.
LEFT_OUT = {"revoke_token", *(route.operation for route in every_route() if route.declared.endless)}
COMMAND = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
COMMAND += [f"--config-file={HERE / 'contract.toml'}", "run"]


async def make_token(database_url: str, role: Role) -> str:
    async with Holdfast(database_url) as app:
        return (await Tokens(app.database).create(role, by="test", role=role))[1]


def lines_of(process: subprocess.Popen[str]) -> str:
    """What it said until it said where it is."""
    assert process.stderr is not None
    give_up_at, said = monotonic() + 30, ""
    while "http://" not in said and monotonic() < give_up_at:
        said += process.stderr.readline()
    return said


@pytest.fixture
def served(database_url: str) -> Iterator[str]:
    """The address of an API in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli", "api", f"--database-url={database_url}"],
        env={**os.environ, "HOLDFAST_AUTH": "on", "HOLDFAST_API_RATE": "none", "HOLDFAST_SIGN_IN_RATE": "none"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        found = re.search(r"http://\S+", lines_of(process))
        assert found is not None
        httpx.get(f"{found[0]}/livez", timeout=20).raise_for_status()
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=20)


def contract(
    served: str, description: str, token: str, *options: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """Have schemathesis compare what is served with a description."""
    return subprocess.run(
        [
            *COMMAND,
            description,
            f"--url={served}",
            f"--header=Authorization: Bearer {token}",
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


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", [Role.ADMIN, Role.VIEWER, Role.PRODUCER])
def test_the_api_is_as_it_is_described(served: str, database_url: str, role: Role, tmp_path: Path) -> None:
    token = asyncio.run(make_token(database_url, role))
    phases = "coverage,fuzzing,stateful" if role is Role.ADMIN else "coverage"
    left_out = [f"--exclude-operation-id={name}" for name in sorted(LEFT_OUT)]
    description = f"{served}/api/v1/openapi.json"
    done = contract(served, description, token, f"--phases={phases}", "--max-examples=8", *left_out, folder=tmp_path)

    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-2_000:]


LIES = {
    "a field of another type": ("MeOut", "name", {"type": "integer"}),
    "a field that is not sent": ("MeOut", "age", {"type": "integer"}),
}


@pytest.mark.parametrize("lie", [*LIES, "a limit that is refused"])
def test_a_description_that_lies_is_seen(served: str, database_url: str, lie: str, tmp_path: Path) -> None:
    token = asyncio.run(make_token(database_url, Role.ADMIN))
    described = httpx.get(f"{served}/api/v1/openapi.json").json()
    if lie in LIES:
        schema, field, of = LIES[lie]
        described["components"]["schemas"][schema]["properties"][field] = of
        described["components"]["schemas"][schema]["required"].append(field)
    else:
        for parameter in described["paths"]["/api/v1/audit"]["get"]["parameters"]:
            if parameter["name"] == "limit":
                parameter["schema"] |= {"minimum": 250, "maximum": 400, "default": 300}
    file = tmp_path / "lie.json"
    file.write_text(json.dumps(described))
    only = ["--include-operation-id=show_me", "--include-operation-id=list_audit"]
    done = contract(served, str(file), token, "--phases=coverage", *only, folder=tmp_path)

    assert done.returncode == 1, done.stdout[-4_000:] + done.stderr[-2_000:]
