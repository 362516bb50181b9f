"""The page that the atlas adds to the dashboard, over what it has read from this machine."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.browser.conftest import Visits
from tests.browser.hands import reach
from tests.browser.processes import ROOT, Processes
from tests.browser.test_pages import faults
from tests.browser.visitor import DESKTOP, PHONE
from tests.examples.atlas.test_gitlog import commit, git


async def ingest(database_url: str, folder: Path) -> None:
    """A small run of the atlas: some packages of this machine, and a history of one commit."""
    history = folder / "history"
    history.mkdir()
    git(history, "init", "--initial-branch", "main")
    commit(history)
    command = [sys.executable, "-m", "examples.atlas", "--limit", "150", "--out", str(folder / "out"), str(history)]
    environment = {
        **os.environ,
        "HOLDFAST_DATABASE_URL": database_url,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    run = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(run.communicate(), 120)
    assert run.returncode == 0, said.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def atlas(module_processes: Processes) -> str:
    """The address of an atlas that has read something."""
    await ingest(module_processes.database_url, module_processes.folder)
    return await module_processes.api("examples.atlas.tasks")


@pytest.mark.timeout(300)
async def test_the_graph_is_explored(atlas: str, visits: Visits) -> None:
    visitor = await visits(atlas, viewport=DESKTOP, color_scheme="light")
    page, main = visitor.page, visitor.main
    await visitor.visit("/")
    await page.get_by_role("navigation").get_by_role("link", name="Dependency graph").click()
    picture, facts = main.get_by_role("group", name=re.compile("packages need")), main.get_by_role("status")
    await expect(picture).to_be_visible()
    await visitor.shoot("light/atlas")

    # One of the most needed, with the mouse: it stands in the middle, and in the address.
    second = main.get_by_role("listitem").nth(1).get_by_role("button")
    await second.click()
    await expect(second).to_have_attribute("aria-pressed", "true")
    await expect(facts).to_contain_text(re.compile("needed by [0-9]+, directly or not"))
    await expect(page).to_have_url(re.compile(r"\?package="))

    # A long side is shown in part until somebody wants all of it.
    needed = int((await picture.get_attribute("aria-label") or "0").split()[0])
    boxes, more = (
        picture.locator(".box:not(.chosen)"),
        picture.get_by_role("button", name=re.compile("others: show all")),
    )
    shown = await boxes.count()
    assert shown < needed
    await reach(more.first)
    await page.keyboard.press("Enter")
    await expect(boxes).not_to_have_count(shown)
    assert await boxes.count() >= needed
    await visitor.shoot("light/atlas-all")

    # A neighbour with the keyboard: it becomes the middle, and the focus stays in the picture.
    neighbour = boxes.first
    name = await title_of(neighbour)
    await reach(neighbour)
    await page.keyboard.press("Enter")
    await expect(facts.locator("strong")).to_have_text(name)
    await expect(picture).to_be_focused()

    # The search takes a part of a name, and says when there is none.
    search = main.get_by_label("Find a package")
    await search.fill("FASTAP")
    await search.press("Enter")
    await expect(facts.locator("strong")).to_have_text("fastapi")
    await expect(picture.get_by_role("button", name=re.compile("^starlette, needed by"))).to_be_visible()
    await search.fill("no such thing")
    await search.press("Enter")
    await expect(facts).to_have_text('No package has "no such thing" in its name.')

    # The address is the state.
    await page.reload()
    await expect(facts.locator("strong")).to_have_text("fastapi")
    assert await faults(visitor) == []


@pytest.mark.timeout(300)
async def test_the_graph_can_be_used_by_everybody(atlas: str, visits: Visits) -> None:
    looks: dict[str, dict[str, Any]] = {
        "dark": {"viewport": DESKTOP, "color_scheme": "dark"},
        "phone": {"viewport": PHONE, "color_scheme": "light", "has_touch": True},
    }
    for name, options in looks.items():
        visitor = await visits(atlas, reduced_motion="reduce", **options)
        await visitor.visit("/pages/atlas?package=fastapi")
        await expect(visitor.main.get_by_role("status").locator("strong")).to_have_text("fastapi")
        await visitor.shoot(f"{name}/atlas")
        picture = visitor.main.locator(".atlas-picture")
        assert await picture.evaluate("picture => picture.scrollWidth - picture.clientWidth") == 0
        assert await faults(visitor) == []
        assert await visitor.page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


async def test_without_scores_it_says_how_to_get_them(processes: Processes, visits: Visits) -> None:
    visitor = await visits(await processes.api("examples.atlas.tasks"))
    await visitor.visit("/pages/atlas")
    await expect(visitor.main).to_contain_text("No scores yet")
    await visitor.shoot("empty/atlas")


async def title_of(box: Locator) -> str:
    return str(await box.locator("title").text_content())
