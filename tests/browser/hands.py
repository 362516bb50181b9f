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
            await type_moment(field, text)
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


async def type_moment(field: Locator, text: str) -> None:
    """``2026-11-02T07:00`` part by part, in the order that the browser has: British, or American with AM and PM."""
    day, time = text.split("T")
    (year, month, of_month), (hour, minute) = day.split("-"), time.split(":")
    noon = "AM" if int(hour) < 12 else "PM"
    for parts in (
        (of_month, month, year, hour, minute),
        (month, of_month, year, f"{(int(hour) + 11) % 12 + 1:02}", minute, noon),
    ):
        for _ in range(6):
            await field.page.keyboard.press("ArrowLeft")
        for part in parts:
            await field.page.keyboard.type(part)
            # A year may have more digits than these four: only an arrow ends it.
            if part is year:
                await field.page.keyboard.press("ArrowRight")
        if await field.input_value() == text:
            return
    raise AssertionError(f"{text} cannot be typed: {await field.input_value()!r}")
