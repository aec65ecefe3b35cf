"""The stream of events: what is told, to whom, and who is dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from redisproxy.admin.events import ANSWER_S, INTERVAL_S, MAX_LISTENERS, MAX_MISSED, MOVING_INTERVAL_S
from redisproxy.config.authentication import Authenticator, digest
from redisproxy.control.errors import Unavailable
from tests.admin.test_admin import Site
from tests.admin.test_admin import TestAuthentication as Authenticated

QUIET = {"state": "running", "in_flight": 1, "switchover": {"current": None, "last": []}, "upgrade": {"step": ""}}
ALL = {**QUIET, "figures": {"clients": 3}, "error": ""}


@pytest.fixture
def site() -> Site:
    made = Site()
    tells(made, QUIET)
    return made


def tells(site: Site, state: dict[str, Any] | Exception | Deferred[Any]) -> None:
    """What the proxy tells of itself from now on."""

    def info() -> Deferred[Any]:
        if isinstance(state, Deferred):
            return state
        return fail(state) if isinstance(state, Exception) else succeed(state)

    site.operations.telling = info


class Listener:
    """A browser that listens."""

    def __init__(self, site: Site, **headers: str) -> None:
        self.channel, self.transport = site.open()
        lines = [f"{name}: {value}" for name, value in {"host": "localhost", **headers}.items()]
        self.channel.dataReceived(("\r\n".join(["GET /events HTTP/1.1", *lines]) + "\r\n\r\n").encode())

    @property
    def head(self) -> bytes:
        return self.transport.value().partition(b"\r\n\r\n")[0]

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it was told so far; forgets it."""
        lines = self.transport.value().split(b"\n")
        self.transport.clear()
        return [json.loads(line.removeprefix(b"data: ")) for line in lines if line.startswith(b"data: ")]

    @property
    def producer(self) -> Any:
        """What its transport tells to wait."""
        return self.transport.producer

    def leave(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))


def pass_(site: Site, seconds: float) -> None:
    site.clock.pump([seconds / 10 + 0.001] * 10)


def test_a_listener_is_told_everything_and_then_what_has_changed(site: Site) -> None:
    listener = Listener(site)
    assert b"200 OK" in listener.head and b"text/event-stream" in listener.head
    site.clock.advance(0)
    assert listener.told == [ALL]
    tells(site, {**QUIET, "in_flight": 2})
    pass_(site, INTERVAL_S)
    assert listener.told == [{"in_flight": 2}]
    pass_(site, INTERVAL_S)
    assert listener.told == [{}]


def test_of_the_figures_only_those_of_the_last_seconds_are_asked_for(site: Site) -> None:
    site.clock.advance(1000.5)
    Listener(site)
    site.clock.advance(0)
    assert site.operations.figures_after == 997


def test_one_that_comes_later_is_told_everything_too(site: Site) -> None:
    first = Listener(site)
    pass_(site, INTERVAL_S)
    second = Listener(site)
    first.told, second.told  # noqa: B018
    site.clock.advance(0)
    assert first.told == [{}] and second.told == [ALL]


def test_what_is_no_longer_told_is_taken_back(site: Site) -> None:
    tells(site, {**QUIET, "workers": [1]})
    listener = Listener(site)
    site.clock.advance(0)
    assert listener.told[0]["workers"] == [1]
    tells(site, QUIET)
    pass_(site, INTERVAL_S)
    assert listener.told == [{"workers": None}]


@pytest.mark.parametrize("moving", [{"switchover": {"current": {"step": "copy"}}}, {"upgrade": {"step": "start"}}])
def test_events_come_more_often_while_something_moves(site: Site, moving: dict[str, Any]) -> None:
    tells(site, {**QUIET, **moving})
    listener = Listener(site)
    site.clock.advance(0)
    listener.told  # noqa: B018
    site.clock.pump([MOVING_INTERVAL_S] * 4)
    assert len(listener.told) == 4


def test_nobody_is_asked_when_nobody_listens(site: Site) -> None:
    listener = Listener(site)
    site.clock.advance(0)
    listener.leave()
    pass_(site, 3 * INTERVAL_S)
    assert not site.clock.getDelayedCalls()


def test_listeners_are_bounded(site: Site) -> None:
    listeners = [Listener(site) for _ in range(MAX_LISTENERS)]
    late = Listener(site)
    assert b"503" in late.head.partition(b"\r\n")[0]
    listeners[0].leave()
    assert b"200" in Listener(site).head.partition(b"\r\n")[0]


def test_a_slow_reader_misses_events_and_is_told_everything_when_it_reads_again(site: Site) -> None:
    listener = Listener(site)
    site.clock.advance(0)
    listener.told  # noqa: B018
    listener.producer.pauseProducing()
    pass_(site, 2 * INTERVAL_S)
    assert listener.told == []
    listener.producer.resumeProducing()
    pass_(site, INTERVAL_S)
    assert listener.told[0] == ALL


def test_a_reader_that_is_too_slow_is_dropped_and_the_others_are_not(site: Site) -> None:
    slow, other = Listener(site), Listener(site)
    site.clock.advance(0)
    slow.producer.pauseProducing()
    for _ in range(MAX_MISSED + 2):
        pass_(site, INTERVAL_S)
    assert slow.transport.disconnecting or slow.transport.disconnected
    assert not other.transport.disconnecting and other.told


def test_listeners_are_told_that_the_proxy_can_not_tell(site: Site) -> None:
    listener = Listener(site)
    site.clock.advance(0)
    listener.told  # noqa: B018
    tells(site, Unavailable("no worker is running"))
    pass_(site, INTERVAL_S)
    assert listener.told == [{"error": "no worker is running"}]
    tells(site, QUIET)
    pass_(site, INTERVAL_S)
    assert listener.told == [{"error": ""}]


def test_an_answer_that_does_not_come_is_waited_for_only_so_long(site: Site) -> None:
    tells(site, Deferred())
    listener = Listener(site)
    pass_(site, ANSWER_S + INTERVAL_S)
    assert listener.told[0] == {"error": "no answer within 5 s"}


def test_an_internal_error_shows_nothing_of_itself(site: Site) -> None:
    listener = Listener(site)
    tells(site, RuntimeError("secret detail"))
    site.clock.advance(0)
    assert listener.told == [{"error": "internal error, see the log"}]


def of_password(password: bytes) -> Authenticator:
    return Authenticator({b"default": lambda: (digest(password),)})


def test_a_listener_whose_password_is_taken_back_is_told_nothing_more() -> None:
    site = Site(of_password(b"the-pass"))
    tells(site, QUIET)
    listener = Listener(site, authorization=Authenticated.basic("", "the-pass"))
    site.clock.advance(0)
    assert len(listener.told) == 1
    site.auth = of_password(b"another")
    pass_(site, INTERVAL_S)
    assert listener.told == [] and listener.transport.disconnecting


def test_the_head_is_told_at_once(site: Site) -> None:
    status, headers, body = site.ask("HEAD", "/events")
    assert status == 200 and headers["content-type"].startswith("text/event-stream") and not body


def test_when_another_process_is_in_charge_everybody_is_sent_to_it(site: Site) -> None:
    listener, (_, idle_transport) = Listener(site), site.open()
    site.clock.advance(0)
    asking, asking_transport = site.open()
    waiting: Deferred[Any] = Deferred()
    tells(site, waiting)
    asking.dataReceived(b"GET /info.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    site.site.leave()
    assert listener.transport.disconnecting and idle_transport.disconnecting
    assert not asking_transport.disconnecting
    waiting.callback(QUIET)
    assert b"200 OK" in asking_transport.value() and asking_transport.disconnecting
    late, late_transport = site.open()
    tells(site, QUIET)
    late.dataReceived(b"GET /info.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"connection: close" in late_transport.value().lower() and late_transport.disconnecting
