"""Fuzzes the admin site: any bytes get an HTTP answer or a closed connection, no traceback; nothing is left behind."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from tests.admin.test_admin import Site
from tests.fuzz.cutting import Case

IDLE_S = 3600
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
BOUNDARY = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 20\r\n"
REQUESTS = [
    b"POST /cmd/ HTTP/1.1\r\nHost: localhost\r\n" + FORM + b"Content-Length: 9\r\n\r\ncmd=pause",
    b"GET /info.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST /cmd/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ncmd\r\n0\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic !!!\r\n\r\n",
    b"POST /cmd/ HTTP/1.1\r\nHost: x\r\n" + BOUNDARY + b"\r\n--b\r\nname=x\r\n\r\n--b--",
]
TOKENS = [
    *(
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"/cmd/",
        b"/",
        b"/../",
        b"%00",
        b" HTTP/1.1\r\n",
    ),
    *(
        b"Host: localhost\r\n",
        b"Host: evil\r\n",
        b"Origin: http://evil\r\n",
        b"Origin: http://[\r\n",
        b"\r\n",
        b"\n",
        b"\0",
    ),
    *(b"Content-Length: 9\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999\r\n", FORM, BOUNDARY, b"\xff"),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Authorization: Basic Og==\r\n",
        b"Connection: close\r\n",
    ),
    *(b"cmd=pause", b"cmd=unpause", b"cmd=reload", b"cmd=pause-and-wait&timeout_ms=", b"9" * 30, b"&cmd=x", b"x" * 400),
]
# What the operations of the harness fail with by intent; its text must never leave the log.
EXPECTED, HIDDEN = "secret detail", b"secret detail"


class _Transport(StringTransport):
    """Takes C{unregisterProducer} without a producer, as real transports do."""

    def unregisterProducer(self) -> None:
        self.producer = None


def check(data: bytes) -> None:
    """Raise when the site does not take `data` as it should."""
    case = Case(data)
    for pieces in [[case.stream], case.cut(sorted(case.random.randint(0, len(case.stream)) for _ in range(5)))]:
        _feed(pieces)


def _feed(pieces: list[bytes]) -> None:
    site, clock = Site(), Clock()
    site.site.reactor = clock
    channel, transport = site.site.buildProtocol(None), _Transport()
    channel.makeConnection(transport)
    failures: list[str] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        failure = event.get("log_failure")
        if failure is not None and EXPECTED not in failure.getErrorMessage():
            failures.append(failure.getTraceback())

    globalLogPublisher.addObserver(observe)
    try:
        for piece in pieces:
            if not transport.disconnecting and not transport.disconnected:
                channel.dataReceived(piece)
        answer = transport.value()
        assert not answer or answer.startswith(b"HTTP/1."), answer[:60]
        assert HIDDEN not in answer
        clock.advance(IDLE_S)
        channel.connectionLost(Failure(ConnectionDone()))
        clock.advance(IDLE_S)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not failures, failures[0]
    assert not clock.getDelayedCalls(), "a delayed call is left behind"
