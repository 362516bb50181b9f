"""A person at a browser: pages that tell when something goes wrong in them, whatever the test looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Response, expect

SCREENSHOTS = Path(__file__).parent / "screenshots"
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 375, "height": 812}
# Every breach of the policy, as the browser itself reports it, kept where a test can read it; and what a payload of
# tests/browser/payloads.py calls when it runs.
_WATCH = """
window.__breaches = [];
window.__ran = [];
window.pwned = (what) => { window.__ran.push(String(what)); };
document.addEventListener("securitypolicyviolation", (event) => {
  window.__breaches.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
"""


@dataclass
class Visitor:
    """One browser window of its own: cookies, theme, size."""

    context: BrowserContext
    page: Page
    url: str
    # What nobody asked for: uncaught errors, error lines of the console, answers that are a server's mistake.
    complaints: list[str] = field(default_factory=list)
    # Console lines of refused requests that a test provokes on purpose.
    expects_refusals: bool = False

    async def visit(self, path: str) -> None:
        """Open an address of the dashboard, and wait until the page shows something of its own."""
        await self.page.goto(self.url + path)
        await expect(self.main.get_by_role("heading", level=1)).to_be_visible()

    async def go_on(self, path: str) -> None:
        """To another page, as by a link: the dashboard stays loaded. It must be open at the server's root."""
        if urlsplit(path).path.split("/")[1] == urlsplit(self.page.url).path.split("/")[1]:
            # Of the same kind: the page may stay with other words in it, and nothing would tell when they have come.
            await self.visit(path)
            return
        left = self.main.locator("[data-left]")
        await self.main.get_by_role("heading", level=1).evaluate("heading => { heading.dataset.left = '' }")
        await self.page.evaluate("path => history.pushState(null, '', path)", path)
        await expect(left).to_have_count(0)
        await expect(self.main.get_by_role("heading", level=1)).to_be_visible()

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    async def settled(self) -> None:
        """Wait until nothing on the page is loading."""
        await expect(self.main.get_by_text("Loading …")).to_have_count(0)
        await expect(self.page.locator("[aria-busy=true]")).to_have_count(0)

    async def breaches(self) -> list[str]:
        """Breaches of the Content-Security-Policy, and payloads that ran."""
        return list(await self.page.evaluate("[...window.__breaches, ...window.__ran.map(what => 'ran: ' + what)]"))

    async def shoot(self, name: str) -> Path:
        """A picture of the whole page, for people to look at."""
        path = SCREENSHOTS / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=path, full_page=True, animations="disabled", timeout=120_000)
        return path

    def listen(self) -> None:
        """Note what goes wrong from now on."""
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("console", self._hear)
        self.page.on("response", self._judge)

    def _hear(self, message: ConsoleMessage) -> None:
        # A refused request writes a line too; those are judged as responses.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(f"console: {message.text}")

    def _judge(self, response: Response) -> None:
        if response.status >= 500 or (response.status >= 400 and not self.expects_refusals):
            self.complaints.append(f"{response.status} {response.request.method} {response.url}")


async def arrive(browser: Browser, url: str, **options: Any) -> Visitor:
    """A visitor with a fresh window; ``options`` as Playwright's contexts take them."""
    options = {"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "Europe/Zurich", **options}
    context = await browser.new_context(**options)
    await context.add_init_script(_WATCH)
    page = await context.new_page()
    page.set_default_timeout(10_000)
    visitor = Visitor(context, page, url)
    visitor.listen()
    return visitor
