"""A stand-in for the admin endpoint on real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from redisproxy.cli.commands import main

INFO: dict[str, Any] = {
    "state": "paused",
    "paused_for": ["operator"],
    "clients": {"open": 3},
    "held": 2,
    "in_flight": 1,
    "uplink": {"address": "a:1", "connected": False, "last_error": "refused", "connections": 0},
    "version": "1.2.3",
    "uptime_s": 7.4,
}


MANY = 3


class Handler(BaseHTTPRequestHandler):
    server: Any

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, body.decode(), self.headers.get("Authorization")))
        status, answer = self.server.pages.get(self.path.partition("?")[0], self.server.answer)
        if self.command == "POST":
            self.server.answers.wait(10)
        elif len(self.server.seen) > MANY:
            self.server.answers.set()
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) + self.server.missing))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer


class Endpoint:
    """A stand-in and a configuration that names it.

    @ivar server: C{answer} is what it answers, C{pages} what it answers at a path; C{seen} is what it was asked. While
        C{answers} is cleared, commands wait for their answer, until C{MANY} questions have come. C{missing}: bytes of
        each answer that do not come.
    """

    def __init__(self, folder: Path, server: Any, admin: dict[str, Any]) -> None:
        self.server = server
        server.seen, server.answer, server.pages, server.daemon_threads = [], (200, {"ok": True}), {}, True
        server.answers, server.missing = threading.Event(), 0
        server.answers.set()
        self.config = folder / "config.json"
        self.config.write_text(json.dumps({"uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}, "admin": admin}))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, [*words, "-c", str(self.config)])


Start = Callable[..., Endpoint]
