"""The stand-in for the admin endpoint."""

from __future__ import annotations

import socketserver
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.endpoint import Endpoint, Handler, Start


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Any] = []

    def start(unix: bool = False, files: dict[str, str] | None = None, **admin: Any) -> Endpoint:
        server: Any
        if unix:
            server = socketserver.ThreadingUnixStreamServer(str(tmp_path / "admin.sock"), Handler)
            place = {"addr": server.server_address, "network": "unix"}
        else:
            server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
            place = {"addr": f"127.0.0.1:{server.server_address[1]}"}
        if files:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(files["certfile"], files["keyfile"])
            server.socket = context.wrap_socket(server.socket, server_side=True)
            place |= {"tls": True, "certfile": files["certfile"], "keyfile": files["keyfile"]}
        made.append(server)
        return Endpoint(tmp_path, server, {**place, **admin})

    yield start
    for server in made:
        server.shutdown()
        server.server_close()
