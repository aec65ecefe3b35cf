"""The page of a real proxy in a browser, drawing what a test tells instead of what the proxy does."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from playwright.sync_api import Browser, Page, Route, expect

from tests.end_to_end.harness import Proxy

WAIT_MS = 40_000


class Drawn:
    """One page; C{/events} and answers to commands are the test's, everything else is the proxy's.

    @ivar state: what is told, over and over. @ivar pages: the answers of other pages, None where none comes.
    @ivar answer: to each command; as a text it is one of another server, and None is none at all.
    @ivar ordered: the fields of each command.
    """

    def __init__(self, browser: Browser, proxy: Proxy, **options: Any) -> None:
        moves: dict[str, Any] = {"switchover": {"last": []}, "upgrade": {"step": "", "last": []}, "last_reload": {}}
        self._real = {**proxy.info(), "error": "", **moves}
        self.state: dict[str, Any] = self._real
        self.answer: dict[str, Any] | str | None = {"ok": True}
        self.ordered: list[dict[str, str]] = []
        self.pages: dict[str, Any] = {}
        self.faults: list[str] = []
        self._context = browser.new_context(**options)
        self._context.route("**/*.json*", self._told)
        self._context.route("**/events", self._events)
        self._context.route("**/cmd/", self._command)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto(f"http://127.0.0.1:{proxy.admin_port}/")

    def tell(self, **changes: Any) -> None:
        """Tell the proxy's own state with these changes; a dictionary changes the values that it names."""
        self.state = {**self._real, **{key: self._merged(key, value) for key, value in changes.items()}}

    def _merged(self, key: str, value: Any) -> Any:
        before = self._real.get(key)
        return {**before, **value} if isinstance(value, dict) and isinstance(before, dict) else value

    def sees(self, where: str, text: Any) -> None:
        """Wait until the element contains the text."""
        expect(self.page.locator(where)).to_contain_text(text, timeout=WAIT_MS)

    def press(self, name: str) -> None:
        """Press the button with exactly this name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def close(self) -> None:
        """Leave the page."""
        self._context.close()

    def _events(self, route: Route) -> None:
        body = f"retry: 100\n\ndata: {json.dumps(self.state)}\n\n"
        route.fulfill(body=body, content_type="text/event-stream")

    def _told(self, route: Route) -> None:
        name = route.request.url.rpartition("/")[2].partition("?")[0]
        if name in self.pages and self.pages[name] is None:
            route.abort()
        elif name in self.pages:
            route.fulfill(json=self.pages[name])
        else:
            route.continue_()

    def _command(self, route: Route) -> None:
        self.ordered.append(dict(parse_qsl(route.request.post_data or "")))
        if isinstance(self.answer, str):
            route.fulfill(body=self.answer, status=502)
        elif self.answer is not None:
            route.fulfill(json=self.answer)
