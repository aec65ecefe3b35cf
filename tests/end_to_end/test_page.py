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
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from redisproxy.copying.interface import CopyProgress
from redisproxy.figures.hot_keys import BigReply, Hot, HotKey
from redisproxy.fleet.orders import Introduction
from redisproxy.switchover.left_behind import Difference
from scripts import run
from tests.end_to_end.drawn import WAIT_MS, Drawn
from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, busy_script, free_port, wait_until
from tests.end_to_end.upgrading import Upgraded

pytestmark = [pytest.mark.end_to_end, pytest.mark.one_twin]

ROOT = Path(__file__).resolve().parent.parent.parent
PHONE = {"width": 360, "height": 740}


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
def proxy(servers: tuple[RedisServer, RedisServer]) -> Iterator[Upgraded]:
    with Upgraded(servers[0].uplink) as running:
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
    visit.press("Close")


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


def test_a_proxy_that_does_not_answer_does_not_look_like_one_that_runs(browser: Browser, proxy: Proxy) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(address(proxy))
    expect(page.locator("#state")).to_contain_text("running", timeout=WAIT_MS)
    page.route("**/info.json", lambda route: route.fulfill(status=502, body="<html>Bad gateway"))
    page.route("**/events", lambda route: route.abort())
    page.reload()
    expect(page.locator("#link")).to_contain_text("no answer from the proxy: status 502", timeout=WAIT_MS)
    expect(page.locator("#state")).to_contain_text("no answer", timeout=WAIT_MS)
    assert page.title() == "redisproxy: no answer"
    page.unroute("**/info.json")
    expect(page.locator("#state")).to_contain_text("running", timeout=WAIT_MS)
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
        visit.sees("#ask .answer", f"✓ Done: {old.uplink['addr']} → {new.uplink['addr']}; clients were held for")
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
    expect(rows).to_have_count(0, timeout=WAIT_MS)
    visit.press("Close")
    expect(visit.page.get_by_label("Filter")).to_be_focused(timeout=WAIT_MS)
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
    visit.sees("#slowlog tbody", "<img/src=x/onerror=alert(2)>")
    assert visit.page.locator("#slowlog img").count() == 0


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
        again = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert again.returncode == 1 and again.stdout == ""
        assert f"{listen} and {admin}: something listens there already" in again.stderr
        running.terminate()
        assert running.wait(60) == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"uplink": {"adr": "127.0.0.1:1"}}, "uplink.adr: unknown key, did you mean addr?"),
        ({"uplink": {"addr": "127.0.0.1:1"}, "listen": {"addr": "127.0.0.1:2"}}, "each need an addr with a port"),
    ],
)
def test_make_run_says_what_is_wrong_with_a_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: dict[str, Any], said: str
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert run.main(tmp_path / "config.json") == 1
    assert said in capsys.readouterr().err


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


@pytest.fixture(scope="module")
def drawing(browser: Browser, proxy: Proxy) -> Iterator[Drawn]:
    made = Drawn(browser, proxy)
    yield made
    made.close()


@pytest.fixture
def drawn(drawing: Drawn) -> Iterator[Drawn]:
    drawing.tell()
    drawing.ordered.clear()
    yield drawing
    assert drawing.faults == []


HOSTILE = "<img/src=x/onerror=alert(3)>"
REPORT = {
    "from": "a:1", "to": "b:1", "result": "done", "error": "", "steps": [{"name": "drain", "ms": 1.5}], "warnings": [],
    "differences": [], "reason": "", "hooks": [], "pause_ms": 12.5, "held": 7, "longest_wait_ms": 12.4,
    "clients_closed": {}, "held_course": [[0, 0], [5, 7]], "at": 1767323045,
}  # fmt: skip
RUNNING = {"from": "a:1", "to": "b:1", "elapsed_ms": 5000, "steps": [{"name": "preflight", "ms": 4000}]}


def test_a_shutdown_tells_how_many_are_left_and_for_how_long(drawn: Drawn) -> None:
    drawn.tell(state="shutting down", shutdown={"clients_left": 2, "waits_for_s": 17.5})
    drawn.sees("#state", "shutting down")
    drawn.sees("#why", "2 clients left, for 17.5 s at the most")


@pytest.mark.parametrize(
    "advice", ["it is fenced by " + HOSTILE, "it is busy running a script: SCRIPT KILL", "the file has to name a:1"]
)
def test_advice_comes_before_all_figures_and_goes_again(drawn: Drawn, advice: str) -> None:
    drawn.tell(uplink={"advice": advice})
    drawn.sees("#alerts .alert", f"The server: {advice}")
    alerts, main = drawn.page.locator("#alerts").bounding_box(), drawn.page.locator("#graphs").bounding_box()
    assert alerts and main and alerts["y"] < main["y"] and drawn.page.locator("#alerts img").count() == 0
    drawn.tell()
    expect(drawn.page.locator("#alerts .alert")).to_have_count(0, timeout=WAIT_MS)


def test_a_server_that_is_lost_and_files_that_end_are_told(drawn: Drawn) -> None:
    soon = {"file": "certfile", "path": "/etc/cert.pem", "expires_at": 1, "expires_in_s": 86400}
    drawn.tell(
        uplink={"address": "a:1", "connected": False, "last_error": "Connection was refused"},
        credential_files=[{"where": "listen", "error": "no such file", "certificates": [soon]}],
    )
    drawn.sees("#why", "Commands wait for a:1")
    expect(drawn.page.locator("#state")).to_have_class("state cut")
    for text in (
        "The server is not connected: Connection was refused",
        "The files of listen: no such file",
        "The certificate /etc/cert.pem ends in 1 d 0 h",
    ):
        drawn.sees("#alerts", text)


def test_a_proxy_without_clients_says_where_they_connect(drawn: Drawn) -> None:
    drawn.pages["clients.json"] = {"clients": [], "total": 0, "missing": []}
    drawn.tell(clients={"open": 0}, config={"listen": [{"addr": "10.0.0.9:7010"}, {"addr": "/run/r.sock"}]})
    drawn.page.get_by_label("Filter").scroll_into_view_if_needed()
    drawn.sees("#clients .note", "0 clients connected. Applications connect to 10.0.0.9:7010, /run/r.sock.")
    del drawn.pages["clients.json"]


def test_a_proxy_that_can_not_tell_its_state_says_why(drawn: Drawn) -> None:
    drawn.state = {**dict.fromkeys(drawn.state), "error": "no data plane can be reached"}
    drawn.sees("#alerts", "The proxy can't tell its state: no data plane can be reached")


def test_workers_are_a_table_and_a_silent_one_is_told(drawn: Drawn) -> None:
    worker = {"number": 1, "pid": 11, "clients": 1200, "in_flight": 3, "held": 4, "commands": 5000, "connected": True,
        "restarts": 0, "answers": True}  # fmt: skip
    drawn.tell(workers=[worker, {**worker, "number": 2, "connected": False, "restarts": 6, "answers": False}])
    drawn.sees("#workers h2", "Workers")
    rows = drawn.page.locator("#workers tbody tr")
    expect(rows.nth(0)).to_have_text(re.compile("^1111,200345,000connected0yes$"), timeout=WAIT_MS)
    expect(rows.nth(1)).to_have_text(re.compile("^2111,200345,000not connected6no answer$"))
    drawn.sees("#alerts", "No answer from worker 2")


def test_what_the_process_before_has_told_is_gone(drawn: Drawn) -> None:
    drawn.tell(workers=[{"number": 2, "pid": 1, "answers": False, "state": "running", "clients": 0}])
    drawn.sees("#alerts", "No answer from worker 2")
    drawn.tell()
    expect(drawn.page.locator("#alerts")).not_to_contain_text("worker 2", timeout=WAIT_MS)


def test_what_can_not_be_drawn_does_not_keep_the_rest_from_it(drawn: Drawn) -> None:
    drawn.tell(uplink={"name": {"name": "a"}}, shutdown={"clients_left": 2, "waits_for_s": 17.5})
    drawn.sees("#alerts", "This page does not show everything")
    drawn.sees("#why", "2 clients left")
    drawn.tell()
    expect(drawn.page.locator("#alerts")).not_to_contain_text("does not show everything", timeout=WAIT_MS)


def test_what_the_data_does_not_carry_is_a_table_of_texts(drawn: Drawn) -> None:
    setting = Difference("setting", "maxmemory-policy", HOSTILE, "noeviction", "writes fail")
    differences = [setting.as_row(), Difference("user", "app", "", "", "", carried=True).as_row()]
    drawn.tell(switchover={"last": [{**REPORT, "differences": differences}]})
    drawn.page.get_by_text("What the data does not carry (2)").click()
    rows = drawn.page.locator("#switchover tbody tr")
    expect(rows.nth(0)).to_have_text(f"settingmaxmemory-policy{HOSTILE}noevictionwrites failno")
    expect(rows.nth(1)).to_have_text(re.compile("^userapp.*yes$"))
    assert drawn.page.locator("#switchover img").count() == 0


def test_a_report_tells_why_and_who_was_lost_and_what_hooks_have_done(drawn: Drawn) -> None:
    hooks = [{"hook": "promote", "ms": 320.0, "result": "exit code 0: it is " + HOSTILE}]
    drawn.tell(
        switchover={
            "last": [
                {**REPORT, "result": "rolled_back", "error": "fence: no answer", "hooks": hooks, "warnings": ["no AOF"],
                 "reason": "21 error replies within a second", "clients_closed": {"uplink_lost": 3}},
                {**REPORT, "kind": "failover"},
            ],
            "way_back": {"to": "a:1", "follows": False, "why_not": "it has other data"},
            "watch": {"verdict": "it goes back"},
        }
    )  # fmt: skip
    for text in (
        "↩ rolled back a:1 → b:1",
        "(21 error replies within a second)",
        "fence: no answer",
        "3 (uplink lost)",
        "no AOF",
        "The way back: a:1, which does not follow: it has other data. The watch: it goes back.",
    ):
        drawn.sees("#switchover", text)
    drawn.sees("#switchover .hooks li", f"promote hook 320 ms: exit code 0: it is {HOSTILE}")
    assert drawn.page.locator("#switchover img").count() == 0
    drawn.sees("#moves li >> nth=0", "✗ Switchover rolled back: a:1 → b:1")
    drawn.sees("#moves li >> nth=0", "21 error replies within a second. 7 clients held for 12.5 ms. fence: no answer")
    drawn.sees("#moves li >> nth=1", "✓ Failover done: a:1 → b:1")
    drawn.tell(last_reload={"at": 1.0, "ok": False, "error": "it names a:1", "for": "switchover"})
    drawn.sees("#moves li >> nth=0", "✗ Configuration rejected for a switchoverit names a:1")


def test_a_copy_shows_how_far_it_is(drawn: Drawn) -> None:
    copying = CopyProgress(300_000, 1_000_000, 45_000_000, 25_000.0, 28.0, changed=1234, lag_ms=40.0, passes=2)
    drawn.tell(switchover={"current": {**RUNNING, "step": "copy", **asdict(copying)}})
    drawn.sees("#running .share", "30 %")
    assert drawn.page.locator("#running progress").evaluate("bar => bar.value") == pytest.approx(0.3)
    for text in ("300,000 of 1,000,000", "45.0 MB", "25,000 keys/s", "time left28 s", "to copy1,234", "all keys2"):
        drawn.sees("#running .terms", text)
    drawn.sees("#running .step.running", "copy")
    drawn.sees("#running .step.to-come >> nth=-1", "finish")


def test_replication_shows_how_much_is_left(drawn: Drawn) -> None:
    left = {"total_bytes": 400_000_000, "bytes_left": 100_000_000, "synchronised": False}
    drawn.tell(switchover={"current": {**RUNNING, "step": "catch up", **left}})
    drawn.sees("#running .share", "75 %")
    drawn.sees("#running .terms", "to go100 MB")


def test_sentinels_and_a_name_that_is_followed_are_shown_and_believed_nothing(drawn: Drawn) -> None:
    said = {"address": "s:1", "subscribed": False, "primary": HOSTILE, "error": "NOAUTH"}
    changed = {"from": "a:1", "to": "b:1", "at": 1767323045}
    finder = {"master_name": "mymaster", "sentinels": [said], "switches": 3, "last_error": "", "last_switch": changed}
    drawn.tell(uplink={"sentinel": finder})
    drawn.sees("#uplink", "followed by Sentinelmymaster")
    expect(drawn.page.locator("#uplink tbody tr")).to_have_text(f"s:1not subscribed{HOSTILE}NOAUTH", timeout=WAIT_MS)
    assert drawn.page.locator("#uplink img").count() == 0
    drawn.sees("#moves", "The primary is another one: b:1")
    name = {"name": "redis.test", "in_use": "10.0.0.7:6379", "addresses": ["10.0.0.7:6379"], "switches": 1}
    drawn.tell(uplink={"name": {**name, "last_error": "the name server is silent", "last_switch": {}}})
    for text in ("found by nameredis.test", "in use10.0.0.7:6379", "changes followed1", "the name server is silent"):
        drawn.sees("#uplink", text)


def test_an_upgrade_that_runs_and_what_came_of_others_is_told(drawn: Drawn) -> None:
    last = [
        {"ok": False, "error": f"no {HOSTILE}", "at": 1767323046},
        {"ok": True, "from": "1.0", "to": "1.1", "clients": 2041, "hand_over_ms": 85.0, "at": 1767323045},
    ]
    drawn.tell(upgrade={"step": "hand over", "last": last})
    drawn.sees("#why", "A new program takes over, step: hand over")
    drawn.sees("#moves li >> nth=0", f"✗ Upgrade given upno {HOSTILE}")
    drawn.sees("#moves li >> nth=1", "✓ Upgrade from 1.0 to 1.12,041 clients handed over in 85.0 ms")


def test_the_fleet_is_a_table(drawn: Drawn) -> None:
    here = asdict(Introduction("i", "one", "1.0", "running", "a:1", True, 7, 0))
    other = {**here, "addr": "p:1", "server": "b:1", "lag_ms": 0.42, "same_server": False, "operation": "switchover"}
    lost = {"addr": "p:2", "reachable": False, "error": "Connection was refused"}
    told = {"fleet": True, "self": here, "peers": [{**other, "leads": True}, lost]}
    drawn.pages["fleet.json"] = {**told, "faults": ["p:2 can't be reached: Connection was refused"]}
    drawn.tell(fleet={"peers": 2, "reachable": 1, "unresolved": ["p:9"], "on_another_server": 1, "leads": False})
    rows = drawn.page.locator("#fleet tbody tr")
    expect(rows.nth(0)).to_have_text("one (this one)1.0runninga:170", timeout=WAIT_MS)
    expect(rows.nth(1)).to_have_text("p:11.0running! another one: b:1700.42 msswitchover (leads it)")
    expect(rows.nth(2)).to_have_text("p:2missing")
    drawn.sees("#fleet .warning", "p:2 can't be reached: Connection was refused")
    drawn.sees("#alerts", "1 of 2 other proxies can't be reached")
    drawn.sees("#alerts", "1 of 2 other proxies use another server")
    drawn.sees("#alerts", "the fleet: p:9 can't be resolved")


def test_hot_keys_are_shown_as_text_where_they_are_sampled(drawn: Drawn) -> None:
    assert drawn.page.locator("#hotkeys").is_hidden()
    reply = BigReply(1_200_000, "LRANGE", "feed:all", 1767323045)
    hot = asdict(Hot(64, 900, 12_000.0, (HotKey(HOSTILE, "string", 3812.0),), (reply,)))
    drawn.pages["hot_keys.json"] = {**hot, "keys": [{**hot["keys"][0], "share": 0.317}]}
    drawn.page.reload()
    rows = drawn.page.locator("#hotkeys tbody tr")
    expect(rows.nth(0)).to_have_text(f"31.7 %3,812string{HOSTILE}", timeout=WAIT_MS)
    expect(rows.nth(1)).to_have_text(re.compile("^1.20 MBLRANGEfeed:all"))
    assert drawn.page.locator("#hotkeys img").count() == 0


MOVING = {"switchover": {"current": {**RUNNING, "step": "wait for the operator"}}}
WITH_SENTINEL = {"uplink": {"sentinel": {"master_name": "m", "sentinels": [], "switches": 0}}}
WITH_WAY_BACK = {"switchover": {"way_back": {"to": "a:1", "follows": True, "why_not": ""}}}


@pytest.mark.parametrize(
    ("state", "opens", "choice", "fields"),
    [
        ({}, "Reload…", "Reload", {"cmd": "reload"}),
        ({}, "Upgrade…", "Upgrade", {"cmd": "upgrade"}),
        (WITH_SENTINEL, "Fail over…", "Look first (dry run)", {"cmd": "failover", "dry_run": "1"}),
        (WITH_SENTINEL, "Fail over…", "Fail over", {"cmd": "failover"}),
        (WITH_WAY_BACK, "Go back…", "Look first (dry run)", {"cmd": "switchover", "back": "1", "dry_run": "1"}),
        (WITH_WAY_BACK, "Go back…", "Go back", {"cmd": "switchover", "back": "1"}),
        (MOVING, "Go on…", "It is promoted: go on", {"cmd": "switchover-go-on"}),
        (MOVING, "Abort switchover…", "Abort", {"cmd": "switchover-abort"}),
    ],
)
def test_each_button_orders_what_it_says(
    drawn: Drawn, state: dict[str, Any], opens: str, choice: str, fields: dict[str, str]
) -> None:
    drawn.tell(**state)
    drawn.answer = {"ok": False, "error": "this is why not"}
    drawn.press(opens)
    assert drawn.ordered == []
    drawn.press(choice)
    drawn.sees("#ask .answer.bad", "✗ this is why not")
    drawn.press("Close")
    assert drawn.ordered == [fields]


def test_buttons_are_there_only_when_they_can_be_used(drawn: Drawn) -> None:
    button = partial(drawn.page.get_by_role, "button", exact=True)
    for name in ("Fail over…", "Go back…", "Go on…", "Abort switchover…"):
        expect(button(name=name)).to_have_count(0, timeout=WAIT_MS)
    drawn.tell(**MOVING)
    for name in ("Reload…", "Switch over…", "Upgrade…"):
        expect(button(name=name)).to_be_disabled(timeout=WAIT_MS)


def test_a_switchover_that_waits_for_its_operator_says_what_to_do(drawn: Drawn) -> None:
    drawn.tell(**MOVING)
    drawn.sees(
        "#running .warning", "Clients are held: promote b:1 now, then press Go on… here. Else everything is undone."
    )
    drawn.tell(switchover={"current": {**RUNNING, "step": "verify"}})
    expect(drawn.page.locator("#running .warning")).to_be_hidden(timeout=WAIT_MS)


def test_a_dry_run_tells_what_it_would_take_and_warns(drawn: Drawn) -> None:
    copy = {"keys": 2_000_000, "data_bytes": 3_000_000_000, "seconds": 130}
    drawn.answer = {"ok": True, "report": {**REPORT, "result": "dry_run", "copy": copy, "warnings": ["no AOF there"]}}
    drawn.press("Switch over…")
    drawn.press("Look first (dry run)")
    for text in (
        "✓ Nothing stands in the way: a:1 → b:1. Nothing was changed.",
        "To copy: 2,000,000 keys, about 3.00 GB, in about 2 min 10 s.",
        "! no AOF there",
    ):
        drawn.sees("#ask .answer", text)
    drawn.press("Close")


def test_an_order_that_is_not_answered_has_a_limit_and_what_is_known_of_it_is_shown(
    browser: Browser, proxy: Proxy
) -> None:
    drawn = Drawn(browser, proxy)
    drawn.page.clock.install()
    drawn.page.reload()
    drawn.answer = None
    drawn.press("Switch over…")
    drawn.press("Switch over")
    for seconds in (40, 80, 120):
        drawn.page.clock.run_for(40_000)
        drawn.tell(switchover={"current": {**RUNNING, "elapsed_ms": 1000 * seconds}})
        drawn.sees("#running .route", f"a:1 → b:1, for {seconds // 60} min" if seconds >= 60 else "for 40 s")
    drawn.sees("#ask .answer", re.compile(r"Switch over … 1\d\d s. You may close this: it goes on."))
    drawn.tell(switchover={"last": [REPORT]})
    drawn.sees("#moves", "Switchover done: a:1 → b:1")
    drawn.page.clock.run_for(90_000)
    for text in (
        "✗ no answer: nothing was heard for 60 s",
        "It may have been carried out all the same.",
        "Switchover done: a:1 → b:1. 7 clients held for 12.5 ms",
        f"The proxy was running when it was heard last, and commands go to {proxy.config['uplink']['addr']}.",
    ):
        drawn.sees("#ask .answer.bad", text)
    expect(drawn.page.get_by_role("button", name="Look first (dry run)")).to_be_enabled()
    drawn.close()
    assert drawn.faults == []


def test_an_answer_that_is_not_the_proxys_is_told_by_its_status(drawn: Drawn) -> None:
    drawn.answer = "<html>Bad gateway"
    drawn.press("Reload…")
    drawn.press("Reload")
    drawn.sees("#ask .answer.bad", "✗ no answer: status 502")
    drawn.press("Close")


FOCUSED = "[document.activeElement.textContent, document.activeElement.disabled]"


def test_the_keyboard_is_not_left_at_a_button_that_can_not_be_pressed_any_more(drawn: Drawn) -> None:
    drawn.answer = {"ok": True, "state": "paused"}
    drawn.page.get_by_role("button", name="Pause…", exact=True).focus()
    drawn.page.keyboard.press("Enter")
    drawn.page.keyboard.press("Shift+Tab")
    drawn.page.keyboard.press("Shift+Tab")
    assert drawn.page.evaluate(FOCUSED) == ["Pause", False]
    drawn.page.keyboard.press("Enter")
    drawn.sees("#ask .answer.good", "state: paused")
    assert drawn.page.evaluate(FOCUSED) == ["Close", False]
    drawn.page.keyboard.press("Enter")
    assert drawn.page.evaluate(FOCUSED) == ["Pause…", False]
    drawn.tell(state="paused", paused_for=["operator"])
    expect(drawn.page.get_by_role("button", name="Unpause…")).to_be_focused(timeout=WAIT_MS)


CLIENT = {"state": "idle", "user": "default", "name": "", "lib": "", "db": 0, "cmd": "get", "pending": 0}


def clients(*ids: int, idle_s: int) -> dict[str, Any]:
    listed = [{**CLIENT, "id": each, "addr": f"10.0.0.1:{each}", "age_s": 60, "idle_s": idle_s} for each in ids]
    return {"clients": listed, "total": len(listed), "missing": []}


def test_a_table_that_changes_keeps_focus_selection_and_scroll_position(drawn: Drawn) -> None:
    page = drawn.page
    drawn.pages["clients.json"] = clients(*range(1, 60), idle_s=7)
    drawn.tell(clients={"open": 59})
    page.get_by_label("Filter").scroll_into_view_if_needed()
    row = page.locator("#clients tbody tr").filter(has_text="10.0.0.1:40idle")
    row.get_by_role("button").focus()
    scrolled = page.evaluate("document.querySelector('#clients .tall').scrollTop")
    page.evaluate(
        """() => {
            window.kept = document.activeElement.closest("tr");
            getSelection().selectAllChildren(window.kept.firstChild);
        }"""
    )
    drawn.pages["clients.json"] = clients(*range(59, 41, -1), *range(2, 41), idle_s=9)
    expect(row).to_contain_text("9 s", timeout=WAIT_MS)
    kept = page.evaluate("[kept === document.activeElement.closest('tr'), String(getSelection())]")
    assert kept == [True, "10.0.0.1:40"] and scrolled > 0
    assert page.evaluate("document.querySelector('#clients .tall').scrollTop") > 0
    del drawn.pages["clients.json"]


def test_an_answer_that_does_not_come_leaves_the_clients_that_were_told(drawn: Drawn) -> None:
    drawn.pages["clients.json"] = clients(1, 2, idle_s=7)
    drawn.tell(clients={"open": 2})
    drawn.page.get_by_label("Filter").scroll_into_view_if_needed()
    drawn.sees("#clients tbody", "10.0.0.1:2")
    drawn.pages["clients.json"] = None
    drawn.sees("#clients .note", "What is shown was told before: ")
    drawn.sees("#clients tbody", "10.0.0.1:2")
    drawn.pages["clients.json"] = clients(3, idle_s=7)
    drawn.sees("#clients tbody", "10.0.0.1:3")
    drawn.sees("#clients .note", "2 clients connected")
    del drawn.pages["clients.json"]


def test_a_lost_answer_does_not_hide_slow_commands(drawn: Drawn) -> None:
    slow = {
        "time": 1,
        "addr": "10.0.0.1:1",
        "user": "",
        "command": "KEYS",
        "key": "",
        "proxy_ms": 1,
        "redis_ms": 2,
        "total_ms": 3,
    }
    drawn.pages["slowlog.json"] = {"entries": [slow]}
    drawn.sees("#slowlog tbody", "KEYS")
    drawn.pages["slowlog.json"] = None
    with drawn.page.expect_event("requestfailed", lambda request: "slowlog" in request.url):
        pass
    drawn.pages["slowlog.json"] = {"entries": [{**slow, "command": "SORT"}]}
    drawn.sees("#slowlog tbody", "KEYS")
    drawn.sees("#slowlog tbody", "SORT")
    del drawn.pages["slowlog.json"]


def test_a_table_of_workers_stays_where_it_was_scrolled_to(drawn: Drawn) -> None:
    drawn.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    worker = {"number": 1, "pid": 211, "answers": True, "restarts": 0, "clients": 1, "in_flight": 0, "held": 0}
    drawn.tell(workers=[{**worker, "commands": 1, "connected": True}])
    box = drawn.page.locator("#workers .scroll")
    expect(box).to_be_visible(timeout=WAIT_MS)
    box.evaluate("box => { box.scrollLeft = 99; box.focus(); }")
    drawn.tell(workers=[{**worker, "commands": 2_345_678, "connected": True}])
    expect(box).to_contain_text("2,345,678", timeout=WAIT_MS)
    assert box.evaluate("box => [box.scrollLeft, box === document.activeElement]") == [99, True]
    drawn.page.set_viewport_size({"width": 1280, "height": 720})


def test_an_upgrade_from_the_page_disconnects_nobody(visit: Visit, proxy: Upgraded) -> None:
    client = proxy.client()
    before = client.client_id()
    visit.press("Upgrade…")
    visit.press("Upgrade")
    visit.sees("#ask .answer", "stayed: 0")
    visit.press("Close")
    proxy.wait_for_another()
    visit.sees("#moves", "clients handed over in")
    assert client.client_id() == before
    client.close()
