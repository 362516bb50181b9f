"""Pages of a project's own: their files and data, and who may see them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast import Holdfast
from holdfast.access import Permission, Role
from holdfast.api import create_api
from holdfast.errors import ConfigurationError, NoSuchPath
from tests.rooms.api.conftest import MakeToken


async def two(connection: Any) -> dict[str, int]:
    return {"two": await connection.fetchval("select 1 + 1")}


async def written(connection: Any) -> None:
    await connection.execute("create table must_not_be (id int)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "page.js").write_text("export function mount() {}")
    (tmp_path / "page" / "page.html").write_text("<h1>no page</h1>")
    (tmp_path / "secret.json").write_text("{}")
    return tmp_path / "page"


@pytest.fixture
async def http(app: Holdfast, folder: Path) -> httpx.AsyncClient:
    app.page("atlas", title="The atlas", folder=folder, data={"two": two, "written": written})
    app.page("books", title="The books", folder=folder, needs=Permission.AUDIT_READ, data={"two": two})
    transport = httpx.ASGITransport(create_api(app, auth=True), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1")


async def test_a_page_is_announced_and_its_module_is_served(http: httpx.AsyncClient, token: MakeToken) -> None:
    viewer = await token(Role.VIEWER)
    page = (await http.get("/info", headers=viewer)).json()["pages"][0]

    module = await http.get(f"http://localhost{page['module']}", headers=viewer)

    assert (page["path"], page["title"]) == ("atlas", "The atlas")
    assert module.headers["content-type"].startswith("text/javascript")
    assert module.text == "export function mount() {}"


async def test_its_data_is_what_its_function_reads(http: httpx.AsyncClient, token: MakeToken) -> None:
    answer = await http.get("/pages/atlas/data/two", headers=await token(Role.VIEWER))

    assert answer.json() == {"two": 2}


async def test_a_function_that_writes_is_refused(http: httpx.AsyncClient, token: MakeToken, app: Holdfast) -> None:
    answer = await http.get("/pages/atlas/data/written", headers=await token(Role.ADMIN))

    assert answer.status_code >= 400
    async with app.database.connection() as connection:
        assert await connection.fetchval("select to_regclass('must_not_be')") is None


@pytest.mark.parametrize("file", ["page.html", "other.js", "..%2Fsecret.json", "page.js%00.json"])
async def test_nothing_but_its_files_is_served(http: httpx.AsyncClient, token: MakeToken, file: str) -> None:
    answer = await http.get(f"/pages/atlas/files/{file}", headers=await token(Role.ADMIN))

    assert answer.status_code in {400, 404, 422}


@pytest.mark.parametrize("path", ["/pages/books/files/page.js", "/pages/books/data/two"])
async def test_who_lacks_its_permission_sees_nothing_of_it(
    http: httpx.AsyncClient, token: MakeToken, path: str
) -> None:
    assert (await http.get(path, headers=await token(Role.VIEWER))).status_code == 403
    assert (await http.get(path, headers=await token(Role.OPERATOR))).status_code == 200
    assert (await http.get(path)).status_code == 401


def test_what_could_not_be_served_is_refused_at_the_start(folder: Path) -> None:
    app = Holdfast()

    with pytest.raises(ConfigurationError):
        app.page("../atlas", title="", folder=folder)
    with pytest.raises(NoSuchPath):
        app.page("atlas", title="", folder=folder, module="missing.js")
    app.page("atlas", title="", folder=folder)
    with pytest.raises(ConfigurationError):
        app.page("atlas", title="", folder=folder)
