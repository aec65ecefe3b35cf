"""A blocking client for the admin endpoint of a running proxy: TCP or a unix socket, with or without TLS."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlencode

from redisproxy.config import AdminSettings, Settings, UnixAddress


class AdminUnreachable(Exception):
    """The admin endpoint does not answer; C{str()} says why."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, context: ssl.SSLContext | None) -> None:
        super().__init__("localhost")
        self._path = path
        self._context = context

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname="localhost")


def _connection(admin: AdminSettings, cacert: str | None) -> http.client.HTTPConnection:
    address = admin.address
    context = _context(admin, cacert) if admin.tls else None
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path, context)
    host = "127.0.0.1" if address.host in ("", "0.0.0.0") else address.host
    if context is None:
        return http.client.HTTPConnection(host, address.port)
    return http.client.HTTPSConnection(host, address.port, context=context)


def _context(admin: AdminSettings, cacert: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cacert or admin.certfile)
    if cacert is None:
        # The proxy shows the certificate of this very configuration, so it is trusted itself, for whatever name.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if admin.certfile and admin.keyfile and admin.cacertfile:
        context.load_cert_chain(admin.certfile, admin.keyfile)
    return context


def _headers(admin: AdminSettings) -> dict[str, str]:
    user, secrets = "default", admin.passwords
    for each in admin.users:
        if secrets is None and each.passwords is not None:
            user, secrets = each.name, each.passwords
    if secrets is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secrets[0].get_secret_value()}".encode()).decode()}


def call(settings: Settings, path: str, fields: dict[str, str] | None, cacert: str | None) -> tuple[int, Any]:
    """Ask the running proxy; GET without `fields`, POST with them.

    @param settings: the configuration of the proxy, with its admin address and password.
    @param cacert: the file with the CA of the endpoint's certificate; None trusts the certificate in `settings`.
    @return: HTTP status and the answer, read from JSON.

    @raise AdminUnreachable: there was no answer.
    """
    if settings.admin is None:
        raise AdminUnreachable("this configuration has no admin address")
    headers = {**_headers(settings.admin), "Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection = _connection(settings.admin, cacert)
    except OSError as error:
        raise AdminUnreachable(f"{cacert or settings.admin.certfile}: {error.strerror or error}") from None
    try:
        body = urlencode(fields) if fields is not None else None
        connection.request("GET" if fields is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AdminUnreachable(f"no answer from {settings.admin.address}: {error}") from None
    finally:
        connection.close()
