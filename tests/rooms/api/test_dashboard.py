"""How the dashboard is served: what is cached, what an address answers, under which policy, below which prefix."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from holdfast.api.dashboard import DashboardRoute

INDEX = (
    '<!doctype html><meta name="holdfast-prefix" content="__PREFIX__" />'
    '<script type="module" src="./assets/app-1a2b3c4d.js"></script>'
)
VISIT = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-mode": "navigate"}
FETCH = {"accept": "*/*", "sec-fetch-mode": "cors"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a build leaves."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(INDEX, encoding="utf-8")
    (tmp_path / "theme.js").write_text("1", encoding="utf-8")
    (tmp_path / "assets" / "app-1a2b3c4d.js").write_text("2", encoding="utf-8")
    return tmp_path


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API with one route, alone and below /ops/jobs."""
    jobs = Route("/api/v1/jobs", lambda _: PlainTextResponse("jobs"), methods=["GET"])
    api = Starlette(routes=[jobs, DashboardRoute(folder)])
    site = Starlette(routes=[Mount("/ops/jobs", api), Mount("/", api)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://site") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/index.html", "/jobs", "/jobs/81234", "/queues/show?name=a%2Fb", "/failures/"])
async def test_every_address_that_is_visited_is_the_page_and_never_cached(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path, headers=VISIT)

    assert answer.status_code == 200
    assert answer.text == INDEX.replace("./", "/").replace("__PREFIX__", "")
    assert answer.headers["cache-control"] == "no-cache"


async def test_hashed_files_are_kept_for_ever_and_others_asked_for(client: httpx.AsyncClient) -> None:
    hashed = await client.get("/assets/app-1a2b3c4d.js", headers=FETCH)
    plain = await client.get("/theme.js", headers=FETCH)
    again = await client.get("/theme.js", headers={**FETCH, "if-none-match": plain.headers["etag"]})

    assert hashed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert plain.headers["cache-control"] == "no-cache"
    assert again.status_code == 304
    assert {hashed.headers["content-type"].split(";")[0], plain.headers["content-type"].split(";")[0]} == {
        "text/javascript"
    }


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/assets/app-00000000.js", FETCH),
        ("/assets/app-00000000.js", VISIT),
        ("/missing.js", FETCH),
        ("/../dashboard.py", VISIT | FETCH),
        ("/%2e%2e/dashboard.py", FETCH),
        ("/jobs", {"accept": "application/json"}),
    ],
    ids=["a chunk of the last deploy", "the same, typed in", "a file", "above", "above, in disguise", "no browser"],
)
async def test_what_is_not_there_is_said_to_be_missing(
    client: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    answer = await client.get(path, headers=headers)

    assert answer.status_code == 404
    assert INDEX not in answer.text


async def test_addresses_of_the_api_are_left_to_it(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/jobs", headers=VISIT)).text == "jobs"
    assert (await client.get("/api/v1/nothing", headers=VISIT)).status_code == 404
    assert (await client.post("/api/v1/jobs", headers=VISIT)).status_code == 405
    assert (await client.post("/jobs", headers=VISIT)).status_code == 405


async def test_the_page_works_below_a_prefix(client: httpx.AsyncClient) -> None:
    page = await client.get("/ops/jobs/queues/show?name=mail", headers=VISIT)
    script = await client.get("/ops/jobs/assets/app-1a2b3c4d.js", headers=FETCH)

    assert 'src="/ops/jobs/assets/app-1a2b3c4d.js"' in page.text
    assert 'content="/ops/jobs"' in page.text
    assert script.text == "2"


@pytest.mark.parametrize("path", ["/", "/jobs/1", "/assets/app-1a2b3c4d.js", "/theme.js"])
async def test_nothing_but_our_own_files_may_run(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path, headers=VISIT)).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert policy["img-src"] == "'self' data:"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"


async def test_a_package_without_pages_says_how_to_get_them(tmp_path: Path) -> None:
    api = Starlette(routes=[DashboardRoute(tmp_path / "static")])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://site") as client:
        answer = await client.get("/", headers=VISIT)

    assert answer.status_code == 404
    assert "python tools/dashboard.py build" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
