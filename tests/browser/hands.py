"""How a person works a page: with the mouse, or with nothing but the keyboard. Journeys are made with both."""

from __future__ import annotations

from typing import Protocol

from playwright.async_api import Locator, Page, expect

# More steps than that to a button is no way for a person.
_MOST_TABS = 150
_HAS_FOCUS = "element => element === document.activeElement || element.contains(document.activeElement)"


class Hand(Protocol):
    """What a journey needs."""

    async def go(self, page: Page, name: str, keys: str) -> None:
        """To a page of the navigation: by its link, or by ``g`` and its key."""

    async def press(self, target: Locator) -> None:
        """A link or a button."""

    async def fill(self, field: Locator, text: str) -> None:
        """Into a field, whatever it holds."""

    async def choose(self, opener: Locator, entry: Locator) -> None:
        """An entry of a menu."""


class Mouse:
    """Clicks."""

    async def go(self, page: Page, name: str, keys: str) -> None:
        await page.get_by_role("navigation").get_by_role("link", name=name).first.click()

    async def press(self, target: Locator) -> None:
        await target.click()

    async def fill(self, field: Locator, text: str) -> None:
        await field.fill(text)

    async def choose(self, opener: Locator, entry: Locator) -> None:
        await opener.click()
        await entry.click()


class Keyboard:
    """Tab, Enter, arrows and the shortcuts of the page; nothing is focused by script."""

    async def go(self, page: Page, name: str, keys: str) -> None:
        for key in keys.split():
            await page.keyboard.press(key)

    async def press(self, target: Locator) -> None:
        await reach(target)
        await target.page.keyboard.press("Enter")

    async def fill(self, field: Locator, text: str) -> None:
        await reach(field)
        kind = await field.get_attribute("type")
        if kind == "datetime-local":
            await field.page.keyboard.type(as_typed(text))
        else:
            await field.page.keyboard.press("ControlOrMeta+a")
            await field.page.keyboard.type(text)

    async def choose(self, opener: Locator, entry: Locator) -> None:
        await reach(opener)
        await opener.page.keyboard.press("Enter")
        await expect(entry).to_be_visible()
        for _ in range(_MOST_TABS):
            if await entry.evaluate(_HAS_FOCUS):
                break
            await opener.page.keyboard.press("ArrowDown")
        await opener.page.keyboard.press("Enter")


async def reach(target: Locator) -> None:
    """Press Tab until the focus is there."""
    await expect(target).to_be_visible()
    for _ in range(_MOST_TABS):
        if await target.evaluate(_HAS_FOCUS):
            return
        await target.page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {target}")


def as_typed(moment: str) -> str:
    """``2026-11-02T07:00`` as the fields of a British browser take it, one after the other."""
    day, time = moment.split("T")
    year, month, of_month = day.split("-")
    return f"{of_month}{month}{year}\t{time.replace(':', '')}"
