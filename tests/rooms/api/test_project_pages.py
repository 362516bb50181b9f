"""A project adds a page: its module is served, what it asks is guarded like everything else."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Permission
from holdfast.api import Asking, NounRouter, create_api
from holdfast.errors import ConfigurationError

router = NounRouter("graph")


@router.read("/graph/nodes", needs=Permission.JOBS_READ)
async def graph_nodes(asking: Asking) -> list[str]:
    """What depends on what."""
    return [queue.name for queue in await asking.queues.list()]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "page.js").write_text('import "./draw.js"; export const mount = () => undefined;')
    (tmp_path / "draw.js").write_text("export {};")
    return tmp_path / "page.js"


async def test_a_page_of_a_project(app: Holdfast, module: Path) -> None:
    app.page("/graph", "Dependencies", module, routes=router)
    transport = httpx.ASGITransport(create_api(app, auth=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        [page] = (await api.get("/api/v1/info")).json()["pages"]
        served = await api.get(page["module"])
        beside = await api.get("/project/graph/draw.js")
        outside = await api.get("/project/graph/%2e%2e/secret.txt")
        asked = await api.get("/api/v1/project/graph/nodes")

    assert page == {"path": "/graph", "title": "Dependencies", "module": "/project/graph/page.js"}
    assert "javascript" in served.headers["content-type"]
    assert "script-src 'self'" in served.headers["content-security-policy"]
    assert (beside.status_code, outside.status_code) == (200, 404)
    assert (asked.status_code, asked.json()) == (200, [])


async def test_its_files_are_asked_for_each_time_and_what_is_missing_is_missing(app: Holdfast, module: Path) -> None:
    (module.parent / "assets").mkdir()
    (module.parent / "assets" / "map.js").write_text("export {};")
    app.page("/graph", "Dependencies", module)
    transport = httpx.ASGITransport(create_api(app, auth=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        asset = await api.get("/project/graph/assets/map.js")  # its name bears no hash of its content
        missing = await api.get("/project/graph/nowhere", headers={"Accept": "text/html"})

    assert asset.headers["cache-control"] == "no-cache"
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_what_it_asks_needs_its_permission(app: Holdfast, module: Path) -> None:
    app.page("/graph", "Dependencies", module, routes=router)
    transport = httpx.ASGITransport(create_api(app, auth=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as api:
        assert (await api.get("/api/v1/project/graph/nodes")).status_code == 401


@pytest.mark.parametrize("path", ["graph", "/", "/a/b", "/../x", "/graph?x"])
def test_a_page_is_at_a_slash_and_a_word(app: Holdfast, module: Path, path: str) -> None:
    with pytest.raises(ConfigurationError):
        app.page(path, "Dependencies", module)


def test_two_pages_at_one_path_and_a_page_without_a_module_are_refused(app: Holdfast, module: Path) -> None:
    app.page("/graph", "Dependencies", module)

    with pytest.raises(ConfigurationError, match="two pages"):
        app.page("/graph", "Again", module)
    with pytest.raises(ConfigurationError, match="no module"):
        app.page("/other", "Other", module.parent / "missing.js")
