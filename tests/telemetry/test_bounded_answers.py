"""A collector that sends without end is cut off; one that answers as usual keeps its connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest

from redisproxy.telemetry.bounded_answers import MAX_ANSWER_BYTES, session

pytestmark = pytest.mark.one_twin
PIECE = b"x" * 1_000_000
PIECES = 64


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.callers.append(self.client_address)
        self.send_response(200)
        if self.path == "/usual":
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
            return
        self.close_connection = True
        self.end_headers()
        with suppress(OSError):
            for _ in range(PIECES):
                self.wfile.write(PIECE)
                self.server.pieces += 1
        self.server.ended.set()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.callers, server.pieces, server.ended = [], 0, Event()
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_answer_is_read_up_to_a_size_and_others_keep_their_connection(server: Any) -> None:
    asking, address = session(), f"http://127.0.0.1:{server.server_port}"
    usual = [asking.post(f"{address}/usual", data=b"a", timeout=30) for _ in range(2)]
    assert [answer.content for answer in usual] == [b"ok", b"ok"] and len(set(server.callers)) == 1
    assert 0 < len(asking.post(f"{address}/endless", data=b"a", timeout=30).content) <= MAX_ANSWER_BYTES
    assert server.ended.wait(30) and server.pieces < PIECES
    assert asking.post(f"{address}/usual", data=b"a", timeout=30).ok
