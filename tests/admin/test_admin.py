"""The admin site in memory: statuses, answers, and who is let in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from redisproxy.admin import make_site
from redisproxy.config.authentication import Authenticator, digest
from redisproxy.control.errors import DeadlineExceeded, Unavailable, WrongState
from redisproxy.dataplane.interface import ClientQuery
from redisproxy.figures.metrics import OperationFigures
from tests.logged import logged

INFO = {
    "state": "running",
    "version": "1",
    "uplink": {"address": "<b>&"},
    "clients": {"open": 3},
    "in_flight": 1,
    "switchover": {"current": {"from": "a:1", "to": "b:1", "step": "fence", "elapsed_ms": 5}, "last": []},
}


class FakeOperations:
    def __init__(self) -> None:
        self.calls: list[object] = []
        self.pending: Deferred[Any] = Deferred(lambda _: self.calls.append("cancelled"))
        self.is_ready = True
        self.informing: Deferred[Any] | None = None
        self.telling: Callable[[], Deferred[Any]] = lambda: succeed(INFO)
        self.calls_alone: list[object] = []

    @property
    def alone(self) -> FakeOperations:
        alone = FakeOperations()
        alone.calls = self.calls_alone
        return alone

    def fleet(self) -> Deferred[Any]:
        return succeed({"fleet": False})

    def pause(self) -> Deferred[Any]:
        self.calls.append("pause")
        return succeed({"state": "paused"})

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Any]:
        self.calls.append(("pause-and-wait", timeout_ms))
        return self.pending

    def unpause(self) -> Deferred[Any]:
        raise RuntimeError("secret detail")

    def reload(self) -> Deferred[Any]:
        raise WrongState("a reload is running already")

    def switchover(self, dry_run: bool, back: bool) -> Deferred[Any]:
        self.calls.append(f"switchover {dry_run}{' back' if back else ''}")
        return succeed({"report": {}})

    def switchover_go_on(self) -> Any:
        self.calls.append("switchover-go-on")
        return {}

    def forget_way_back(self) -> Deferred[Any]:
        self.calls.append("forget-way-back")
        return succeed({"forgotten": "a:1"})

    def switchover_abort(self) -> Deferred[Any]:
        self.calls.append("switchover-abort")
        return succeed({"state": "aborted"})

    def upgrade(self) -> Deferred[Any]:
        return succeed({"pid": 2})

    def failover(self, dry_run: bool) -> Deferred[Any]:
        self.calls.append(("failover", dry_run))
        return succeed({})

    def terminate_raw_connections(self) -> Deferred[Any]:
        raise DeadlineExceeded("too slow", steps=[1])

    def clients(self, which: ClientQuery) -> Deferred[Any]:
        self.calls.append(which)
        return succeed({"clients": [], "total": 0, "missing": []})

    def kill_clients(self, ids: frozenset[int]) -> Deferred[Any]:
        self.calls.append(ids)
        return succeed({"killed": len(ids)})

    def info(self) -> Deferred[Any]:
        return self.informing or self.telling()

    def metrics(self) -> Deferred[bytes]:
        return succeed(b"redisproxy_in_flight 1.0\n")

    def figures(self, after: int = 0) -> Deferred[Any]:
        self.figures_after = after
        return succeed({"now": {"clients": 3}, "samples": []})

    def slow_commands(self) -> Deferred[Any]:
        return succeed({"entries": []})

    def hot_keys(self) -> Deferred[Any]:
        return succeed({"keys": []})

    def ready(self) -> Deferred[tuple[bool, str]]:
        return succeed((self.is_ready, "ok" if self.is_ready else "paused"))


class Site:
    def __init__(self, auth: Authenticator | None = None) -> None:
        self.operations = FakeOperations()
        self.metrics = OperationFigures()
        self.clock = Clock()
        self.auth = auth
        self.site = make_site(self.operations, lambda: self.auth, self.metrics, self.clock)
        self.site.reactor = self.clock

    def open(self) -> tuple[Any, StringTransport]:
        transport = StringTransport()
        channel = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        return channel, transport

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
        channel, transport = self.open()
        headers = {"host": "localhost:7011", "connection": "close", **headers}
        if body:
            headers = {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{key.replace('_', '-')}: {value}" for key, value in headers.items())]
        channel.dataReceived(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        return parse(transport.value())

    def cmd(self, body: str, **headers: str) -> tuple[int, Any]:
        status, _, content = self.ask("POST", "/cmd/", body, **headers)
        return status, json.loads(content)


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_command_is_called_and_answered(site: Site) -> None:
    assert site.cmd("cmd=pause") == (200, {"ok": True, "state": "paused"})
    assert site.operations.calls == ["pause"]


def test_the_path_works_without_its_slash(site: Site) -> None:
    assert site.ask("POST", "/cmd", "cmd=pause")[0] == 200


def test_pause_and_wait_answers_later(site: Site) -> None:
    channel, transport = site.open()
    body = b"cmd=pause-and-wait&timeout_ms=1500"
    head = b"POST /cmd/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    channel.dataReceived(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert site.operations.calls == [("pause-and-wait", 1500)] and not transport.value()
    site.operations.pending.callback({"state": "paused"})
    assert parse(transport.value())[0] == 200


def test_a_caller_that_leaves_cancels_what_it_waits_for(site: Site) -> None:
    channel, _ = site.open()
    body = b"cmd=pause-and-wait"
    head = b"POST /cmd/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    channel.dataReceived(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    channel.connectionLost(Failure(ConnectionDone()))
    assert "cancelled" in site.operations.calls


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ("", 400, "cmd is missing"),
        ("x=1", 400, "cmd is missing"),
        ("cmd=nope", 400, "unknown command 'nope'; it is one of pause,"),
        ("cmd=pause&cmd=unpause", 400, "more than once"),
        ("cmd=pause-and-wait&timeout_ms=x", 400, "timeout_ms"),
        ("cmd=pause-and-wait&timeout_ms=0", 400, "timeout_ms"),
        ("cmd=pause-and-wait&timeout_ms=99999999999999", 400, "timeout_ms"),
        ("cmd=pause-and-wait&timeout_ms=000000000001" + "0" * 5000, 400, "timeout_ms"),
        ("cmd=reload", 409, "a reload is running already"),
        ("cmd=terminate-raw-connections", 504, "too slow"),
    ],
)
def test_what_goes_wrong_has_its_status(site: Site, body: str, status: int, part: str) -> None:
    code, answer = site.cmd(body)
    assert code == status and answer["ok"] is False and part in answer["error"]


def test_the_log_tells_of_an_order_that_is_refused(site: Site) -> None:
    with logged() as told:
        site.cmd("cmd=reload")
    assert [level for level, _ in told] == ["info", "warn"]
    assert told[1][1] == "reload is refused: a reload is running already"


@pytest.mark.parametrize(
    ("arguments", "query"),
    [
        ("", ClientQuery()),
        ("?user=a%20b&addr=10.&text=t", ClientQuery(user="a b", addr="10.", text="t")),
        ("?name=n&lib=l&cmd=get", ClientQuery(name="n", lib="l", cmd="get")),
        ("?id=1,%202&db=0&state=slow%20reader", ClientQuery(ids=frozenset({1, 2}), db=0, state="slow reader")),
        ("?min_age_s=1&min_idle_s=2&min_pending=3", ClientQuery(min_age_s=1.0, min_idle_s=2.0, min_pending=3)),
        ("?sort=-idle_s&limit=10000", ClientQuery(sort="idle_s", descending=True, limit=10000)),
    ],
)  # fmt: skip
def test_clients_are_asked_for_as_the_url_says(site: Site, arguments: str, query: ClientQuery) -> None:
    status, headers, body = site.ask("GET", f"/clients.json{arguments}")
    assert status == 200 and headers["content-type"].startswith("application/json")
    assert json.loads(body) == {"clients": [], "total": 0, "missing": []} and site.operations.calls == [query]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ("nope=1", "unknown argument 'nope'; it is one of addr,"),
        ("db=x", "db has to be a number"),
        ("db=1&db=2", "more than once"),
        ("id=1,x", "ids of clients"),
        ("id=" + "1," * 1001, "ids of clients"),
        ("state=asleep", "state has to be one of held,"),
        ("sort=worker", "sort has to be one of id,"),
        ("limit=10001", "limit has to be a number from 1 to 10000"),
        ("limit=0", "limit"),
        ("min_idle_s=-1", "min_idle_s"),
        ("name=" + "x" * 201, "name has to have no more than 200 characters"),
    ],
)
def test_what_of_clients_can_not_be_asked_for_is_told(site: Site, arguments: str, part: str) -> None:
    status, _, body = site.ask("GET", f"/clients.json?{arguments}")
    assert status == 400 and part in json.loads(body)["error"] and site.operations.calls == []


def test_clients_are_killed_by_their_ids(site: Site) -> None:
    assert site.cmd("cmd=kill&id=1,2") == (200, {"ok": True, "killed": 2})
    assert site.operations.calls == [frozenset({1, 2})]
    for wrong in ("cmd=kill", "cmd=kill&id=", "cmd=kill&id=a", "cmd=kill&id=-1"):
        assert site.cmd(wrong)[0] == 400


def test_an_internal_error_shows_nothing_of_itself(site: Site) -> None:
    status, _, content = site.ask("POST", "/cmd/", "cmd=unpause")
    assert status == 500 and b"secret detail" not in content and b"internal error" in content


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_is_taken(site: Site, method: str) -> None:
    status, headers, _ = site.ask(method, "/cmd/")
    assert status == 405 and headers["allow"] == "POST"


def test_a_body_that_is_too_large_is_refused(site: Site) -> None:
    assert site.ask("POST", "/cmd/", "cmd=pause&x=" + "y" * 20000)[0] == 413
    assert site.operations.calls == []


def test_a_content_type_that_is_no_text_is_refused(site: Site) -> None:
    assert site.ask("POST", "/cmd/", "cmd=pause", content_type="application/x-www-form\x85")[0] == 400
    assert site.operations.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": "http://["},
        {"host": "["},
        {"host": "localhost\xff"},
        {"host": "rebound.test:7011"},
    ],
)
def test_no_page_of_another_site_gets_through(site: Site, headers: dict[str, str]) -> None:
    status, answer = site.cmd("cmd=pause", **headers)
    assert status == 403 and not answer["ok"] and site.operations.calls == []


def test_the_own_page_gets_through(site: Site) -> None:
    assert site.cmd("cmd=pause", origin="http://localhost:7011", sec_fetch_site="same-origin")[0] == 200


def test_pages(site: Site) -> None:
    status, headers, body = site.ask("GET", "/")
    assert status == 200 and headers["content-type"].startswith("text/html") and b"/assets/app.js" in body
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert json.loads(site.ask("GET", "/info.json")[2]) == INFO
    assert b"redisproxy_in_flight 1.0" in site.ask("GET", "/metrics")[2]
    assert site.ask("GET", "/metrics/")[0] == 200
    assert json.loads(site.ask("GET", "/slowlog.json")[2]) == {"entries": []}
    assert json.loads(site.ask("GET", "/hot_keys.json")[2]) == {"keys": []}
    assert json.loads(site.ask("GET", "/figures.json")[2]) == {"now": {"clients": 3}, "samples": []}
    assert site.ask("GET", "/healthz")[2] == b"ok\n"
    assert site.ask("GET", "/readyz")[0] == 200
    site.operations.is_ready = False
    assert site.ask("GET", "/readyz")[0] == 503
    assert site.ask("GET", "/nothing")[0] == 404
    assert site.ask("GET", "/cmd/../etc")[0] in (404, 405)


def test_a_page_waits_for_what_it_shows(site: Site) -> None:
    site.operations.informing = Deferred()
    channel, transport = site.open()
    channel.dataReceived(b"GET /info.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert not transport.value()
    site.operations.informing.callback(INFO)
    status, headers, body = parse(transport.value())
    assert status == 200 and headers["content-length"] == str(len(body)) and json.loads(body) == INFO


def test_a_page_that_can_not_be_had_shows_nothing_of_why(site: Site) -> None:
    site.operations.informing = fail(RuntimeError("secret detail"))
    status, _, content = site.ask("GET", "/info.json")
    assert status == 500 and b"secret detail" not in content and b"internal error" in content


def test_a_page_says_that_no_data_plane_can_be_reached(site: Site) -> None:
    site.operations.informing = fail(Unavailable("no worker is running"))
    status, _, content = site.ask("GET", "/info.json")
    assert status == 503 and json.loads(content) == {"ok": False, "error": "no worker is running"}


@pytest.mark.parametrize("path", ["/", "/info.json", "/metrics", "/readyz", "/healthz"])
def test_the_head_of_a_page_is_that_of_the_page_without_its_body(site: Site, path: str) -> None:
    status, headers, body = site.ask("HEAD", path)
    got = site.ask("GET", path)
    assert (status, headers["content-type"], body) == (got[0], got[1]["content-type"], b"")
    assert headers["content-length"] == str(len(got[2]))


class TestAuthentication:
    @pytest.fixture
    def site(self) -> Site:
        known = {b"default": b"the-pass", b"operator": b"operator-pass"}
        return Site(Authenticator({user: partial(tuple, [digest(word)]) for user, word in known.items()}))

    @staticmethod
    def basic(user: str, password: str) -> str:
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def test_nothing_but_healthz_without(self, site: Site) -> None:
        for path in ("/", "/assets/app.js", "/events", "/info.json", "/clients.json", "/metrics", "/readyz", "/cmd/"):
            status, headers, _ = site.ask("GET", path)
            assert status == 401 and headers["www-authenticate"].startswith("Basic ")
        assert site.ask("GET", "/healthz")[0] == 200
        assert site.ask("POST", "/cmd/", "cmd=pause")[0] == 401 and site.operations.calls == []

    @pytest.mark.parametrize(
        ("user", "password"),
        [("", "the-pass"), ("admin", "the-pass"), ("default", "the-pass"), ("operator", "operator-pass")],
    )
    def test_right_ones(self, site: Site, user: str, password: str) -> None:
        assert site.cmd("cmd=pause", authorization=self.basic(user, password))[0] == 200

    def test_the_log_tells_who_has_ordered_what(self, site: Site) -> None:
        with logged() as told:
            site.cmd("cmd=pause&fleet=0", authorization=self.basic("operator", "operator-pass"))
            site.cmd("cmd=pause", authorization=self.basic("", "the-pass"))
            site.ask("POST", "/cmd/", "cmd=pause", authorization=self.basic("operator", "wrong"))
        assert told == [
            ("info", "operator at 192.168.1.1 orders pause fleet=0"),
            ("info", "default at 192.168.1.1 orders pause "),
        ]

    @pytest.mark.parametrize(("user", "password"), [("", "x"), ("operator", "the-pass"), ("nobody", "the-pass")])
    def test_wrong_ones_are_counted(self, site: Site, user: str, password: str) -> None:
        assert site.ask("GET", "/", authorization=self.basic(user, password))[0] == 401
        assert site.metrics.auth_failures_total == 1

    @pytest.mark.parametrize(
        "value", ["Basic", "Basic !!!", "Bearer x", "Basic " + base64.b64encode(b"nocolon").decode()]
    )
    def test_malformed_ones(self, site: Site, value: str) -> None:
        assert site.ask("GET", "/", authorization=value)[0] == 401


def test_connections_are_bounded(site: Site) -> None:
    assert all(site.site.buildProtocol(None) is not None for _ in range(100))
    assert site.site.buildProtocol(None) is None


def test_connections_that_ask_nothing_shut_nobody_out(site: Site) -> None:
    silent = [site.open() for _ in range(99)]
    _, half = site.open()
    assert site.ask("GET", "/healthz")[0] == 200
    assert [transport.disconnecting for _, transport in silent[:2]] == [True, False] and not half.disconnecting


def test_connections_that_wait_for_an_answer_are_kept(site: Site) -> None:
    waiting = [site.open() for _ in range(100)]
    body = b"cmd=pause-and-wait"
    head = b"POST /cmd/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    pending: list[Deferred[Any]] = [Deferred() for _ in waiting]
    for (channel, _), site.operations.pending in zip(waiting, pending, strict=True):
        channel.dataReceived(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert site.site.buildProtocol(None) is None
    for each in pending:
        each.callback({"state": "paused"})
    assert all(parse(transport.value())[0] == 200 for _, transport in waiting)
    assert site.site.buildProtocol(None) is not None, "these are kept open for another request, and can go"
