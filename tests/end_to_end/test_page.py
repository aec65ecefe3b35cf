"""The page for people, in a real browser: it is live, asks before it acts, and shows a switchover as it happens."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, busy_script, free_port, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.one_twin]

ROOT = Path(__file__).resolve().parent.parent.parent
PHONE = {"width": 360, "height": 740}
WAIT_MS = 40_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "there is no Chromium: scripts/setup.sh installs it on Debian"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[RedisServer, RedisServer]]:
    with RedisServer() as one, RedisServer() as two:
        yield one, two


@pytest.fixture(scope="module")
def proxy(servers: tuple[RedisServer, RedisServer]) -> Iterator[Proxy]:
    with Proxy(servers[0].uplink) as running:
        yield running


class Visit:
    """One page, and everything that went wrong on it."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page = page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self.faults.append(f"a dialog: {dialog.message}"))
        page.on("console", self._said)
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        self.live()

    def _said(self, message: Any) -> None:
        # A browser logs every status of 400 and more, and this page asks for things that may not be there.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(message.text)

    def live(self) -> None:
        self.sees("#link", re.compile("^live$"))

    def sees(self, where: str, text: Any) -> None:
        expect(self.page.locator(where)).to_contain_text(text, timeout=WAIT_MS)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()


@pytest.fixture(scope="module")
def visit(browser: Browser, proxy: Proxy) -> Iterator[Visit]:
    context = browser.new_context()
    made = Visit(context, address(proxy))
    yield made
    context.close()


@pytest.fixture(autouse=True)
def nothing_went_wrong(visit: Visit, proxy: Proxy) -> Iterator[None]:
    yield
    assert visit.faults == []
    assert all(url.startswith(address(proxy)) for url in visit.asked)


def address(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.admin_port}/"


def test_the_state_is_shown_and_follows_without_a_reload(visit: Visit, proxy: Proxy) -> None:
    visit.sees("#state", "running")
    visit.sees("#uplink", proxy.config["uplink"]["addr"])
    proxy.do("pause")
    visit.sees("#state", "paused")
    visit.sees("#why", "operator")
    assert visit.page.title() == "redisproxy: paused"
    proxy.do("unpause")
    visit.sees("#state", "running")
    assert sum(url.endswith("/events") for url in visit.asked) == 1


def test_a_button_asks_first_and_shows_the_answer(visit: Visit, proxy: Proxy) -> None:
    visit.press("Pause…")
    visit.sees("#ask", "No client is disconnected")
    assert proxy.info()["state"] == "running"
    visit.press("Close")
    assert proxy.info()["state"] == "running"
    visit.press("Pause…")
    visit.press("Pause")
    visit.sees("#ask", "state: paused")
    visit.press("Close")
    visit.sees("#state", "paused")
    visit.press("Unpause…")
    visit.press("Unpause")
    visit.sees("#state", "running")


def test_everything_can_be_done_by_keyboard(visit: Visit, proxy: Proxy) -> None:
    visit.page.reload()
    visit.live()
    keyboard = visit.page.keyboard
    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Pause…"
    keyboard.press("Enter")
    expect(visit.page.get_by_role("dialog")).to_be_visible()
    assert visit.page.evaluate("document.activeElement.textContent") == "Close"
    keyboard.press("Escape")
    expect(visit.page.get_by_role("dialog")).not_to_be_visible()
    assert visit.page.evaluate("document.activeElement.textContent") == "Pause…"
    assert proxy.info()["state"] == "running"


def test_what_is_refused_is_told(visit: Visit, proxy: Proxy) -> None:
    visit.press("Switch over…")
    visit.press("Look first (dry run)")
    visit.sees("#ask", "the configuration file still names")
    visit.press("Close")


def test_every_control_and_every_graph_has_a_name(visit: Visit) -> None:
    unnamed = visit.page.locator("main").evaluate("""main => [...main.querySelectorAll(
        "button, input, select, [role=img], [role=region], section:not([hidden])")]
        .filter(each => !(each.textContent.trim() || each.labels?.length || each.ariaLabel
            || document.getElementById(each.getAttribute("aria-labelledby"))))
        .map(each => each.outerHTML)""")
    assert unnamed == []
    names = [each.get_attribute("aria-label") or "" for each in visit.page.locator(".graph svg").all()]
    assert len(names) == 6 and all("over the last five minutes" in name for name in names)


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_it_fits_a_phone(browser: Browser, proxy: Proxy, scheme: Any) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]
    visit = Visit(context, address(proxy))
    visit.sees("#uplink", proxy.config["uplink"]["addr"])
    assert visit.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    ground, text = visit.page.evaluate(
        "[getComputedStyle(document.documentElement).backgroundColor, getComputedStyle(document.body).color]"
    )
    brightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, text)]
    assert (brightness[0] < brightness[1]) == (scheme == "dark")
    context.close()
    assert visit.faults == []


def test_without_events_it_asks_again_and_again(browser: Browser, proxy: Proxy) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/events", lambda route: route.fulfill(status=503, body="{}"))
    page.goto(address(proxy))
    expect(page.locator("#link")).to_have_text("asking every 2 s", timeout=WAIT_MS)
    proxy.do("pause")
    expect(page.locator("#state")).to_contain_text("paused", timeout=WAIT_MS)
    proxy.do("unpause")
    context.close()


def test_a_switchover_shows_its_steps_as_they_happen_and_its_report(
    visit: Visit, proxy: Proxy, servers: tuple[RedisServer, RedisServer]
) -> None:
    old, new = servers
    old.client().config_set("repl-diskless-sync-delay", 2)
    with Load(proxy, 5) as load:
        proxy.write(uplink=new.uplink)
        visit.press("Switch over…")
        visit.press("Switch over")
        visit.sees("#running .step.running", re.compile("replicate|catch up"))
        visit.sees("#running .route", f"{old.uplink['addr']} → {new.uplink['addr']}")
        expect(visit.page.locator("#running progress")).to_be_attached()
        visit.sees("#running .step.to-come >> nth=-1", "finish")
        visit.sees("#ask .answer", "result: done")
        visit.press("Close")
        visit.sees("#switchover", "✓ done")
        visit.sees(".graph >> nth=0", re.compile(r"^Commands[1-9]"))
    load.check(new)
    visit.sees("#switchover", "clients were held for")
    expect(visit.page.locator("#switchover .course svg")).to_be_visible()
    visit.sees("#moves", f"Switchover done: {old.uplink['addr']} → {new.uplink['addr']}")
    visit.sees("#why", new.uplink["addr"])


def test_clients_are_listed_filtered_and_disconnected_and_their_names_are_text(visit: Visit, proxy: Proxy) -> None:
    hostile = proxy.client(client_name="<img/src=x/onerror=alert(1)>")
    worker = proxy.client(client_name="billing-worker")
    hostile.ping()
    before = worker.client_id()
    rows = visit.page.locator("#clients tbody tr")
    visit.page.get_by_label("Filter").scroll_into_view_if_needed()
    visit.sees("#clients tbody", "<img/src=x/onerror=alert(1)>")
    assert visit.page.locator("#clients img").count() == 0
    visit.page.get_by_label("Filter").fill("billing")
    expect(rows).to_have_count(1, timeout=WAIT_MS)
    visit.sees("#clients .note", "1 found; 2 clients connected")
    rows.get_by_role("button").click()
    visit.press("Disconnect")
    visit.sees("#ask .answer", "killed: 1")
    visit.press("Close")
    assert worker.client_id() != before, "it had to connect again"
    worker.close()
    visit.page.get_by_label("Filter").fill("")
    hostile.close()


def test_many_clients_are_shown_in_part_and_sorted_by_the_proxy(visit: Visit, proxy: Proxy) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(230):
            stack.enter_context(proxy.connect())
        visit.page.get_by_label("Filter").scroll_into_view_if_needed()
        visit.sees("#clients .note", "200 shown of 230 found")
        assert visit.page.locator("#clients tbody tr").count() == 200
        newest = proxy.client(client_name="newest")
        newest.ping()
        visit.press("age")
        visit.press("age")
        visit.sees("#clients tbody tr >> nth=0", "newest")
        assert visit.page.locator("#clients th[aria-sort=ascending]").inner_text() == "age"
        newest.close()


def test_slow_commands_are_shown_and_their_keys_are_text(visit: Visit, proxy: Proxy) -> None:
    with proxy.client() as slow:
        slow.eval(busy_script(0.3), 1, "<img/src=x/onerror=alert(2)>")
    visit.sees("#slowlog tbody tr", "<img/src=x/onerror=alert(2)>")
    assert visit.page.locator("#slowlog img").count() == 0


def test_hot_keys_are_shown_as_text_where_they_are_sampled(visit: Visit) -> None:
    assert visit.page.locator("#hotkeys").is_hidden()
    key = {"key": "<img/src=x>", "family": "string", "commands_per_s": 1250.0, "share": 0.25}
    reply = {"bytes": 5_000_000, "command": "GET", "key": "<img/src=x>", "time": 5.0}
    hot = {"sample": 100, "sampled": 9, "commands_per_s": 5000.0, "keys": [key], "replies": [reply]}
    visit.page.route("**/hot_keys.json", lambda route: route.fulfill(json=hot))
    visit.page.reload()
    visit.sees("#hotkeys table:nth-of-type(1) tbody tr", "25.0 %")
    visit.sees("#hotkeys table:nth-of-type(2) tbody tr", "<img/src=x>")
    assert visit.page.locator("#hotkeys img").count() == 0


def test_only_settings_that_are_not_as_by_default_are_shown(visit: Visit, proxy: Proxy) -> None:
    visit.page.locator("#configuration summary").click()
    visit.sees("#configuration", "uplink.addr")
    rows = visit.page.locator("#configuration tbody tr")
    assert rows.count() == 3 and "switchover.mode" not in rows.all_inner_texts()


def test_make_run_ends_with_the_address_of_the_page(servers: tuple[RedisServer, RedisServer], tmp_path: Path) -> None:
    listen, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    config = {"uplink": servers[1].uplink, "listen": {"addr": listen}, "admin": {"addr": admin}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, str(ROOT / "scripts" / "run.py"), str(tmp_path / "config.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        lines = iter(running.stdout)
        said = next(line for line in lines if line.startswith("Open "))
        assert f"http://{admin}/" in said
        with urllib.request.urlopen(f"http://{admin}/", timeout=30) as page:
            assert b"/assets/app.js" in page.read()
        running.terminate()
        assert running.wait(60) == 0


def test_it_works_with_a_password_and_tls_and_of_a_fleet_this_proxy_may_act_alone(
    browser: Browser, certificates: Certificates, servers: tuple[RedisServer, RedisServer], tmp_path: Path
) -> None:
    ports, peers = (free_port(), free_port()), (f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    (tmp_path / "secret").write_text("a secret of all peers")
    fleet = {"listen": {"addr": peers[0]}, "peers": [peers[1]], "secretfile": str(tmp_path / "secret")}
    secured = {"tls": True, "certfile": certificates.cert, "keyfile": certificates.key, "pass": "hush"}
    admin = {"addr": f"127.0.0.1:{ports[1]}", **secured}
    with Proxy(servers[1].uplink, ports=ports, admin=admin, fleet=fleet, wait=False) as proxy:
        wait_until(lambda: "is running on" in proxy.log, "the proxy has started")
        password = {"username": "admin", "password": "hush"}
        context = browser.new_context(ignore_https_errors=True, http_credentials=password)  # type: ignore[arg-type]
        visit = Visit(context, f"https://127.0.0.1:{proxy.admin_port}/")
        visit.sees("#alerts", "1 of 1 other proxies can't be reached")
        visit.sees("#fleet tbody", f"{peers[1]}missing")
        visit.press("Pause…")
        visit.press("Pause")
        visit.sees("#ask .answer", "not all peers can be reached")
        visit.page.get_by_label("This proxy alone").check()
        visit.press("Pause")
        visit.sees("#state", "paused")
        context.close()
        assert visit.faults == []
