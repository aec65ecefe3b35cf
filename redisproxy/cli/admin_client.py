"""A blocking client for the admin endpoint of a running proxy: TCP or a unix socket, with or without TLS."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import os
import socket
import ssl
from typing import Any
from urllib.parse import urlencode

from redisproxy.config import AdminSettings, UnixAddress

ANSWER_S = 15.0
"""For everything that the proxy answers at once."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024

NO_ADMIN = """\
this configuration has no admin address, so that nobody can ask or command the proxy:
add "admin": {"addr": "127.0.0.1:7011"} to it and restart the proxy"""


class AdminUnreachable(Exception):
    """The admin endpoint does not answer; C{str()} says why, and what to do."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, context: ssl.SSLContext | None, limit_s: float | None) -> None:
        super().__init__("localhost", timeout=limit_s)
        self._path = path
        self._context = context

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname="localhost")


def _connection(admin: AdminSettings, cacert: str | None, limit_s: float | None) -> http.client.HTTPConnection:
    address = admin.address
    context = _context(admin, cacert) if admin.tls else None
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path, context, limit_s)
    host = "127.0.0.1" if address.host in ("", "0.0.0.0") else address.host
    if context is None:
        return http.client.HTTPConnection(host, address.port, timeout=limit_s)
    return http.client.HTTPSConnection(host, address.port, context=context, timeout=limit_s)


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
    secret = os.environ.get("REDISPROXY_ADMIN_PASSWORD", secrets[0].get_secret_value() if secrets else None)
    if secret is None:
        return {}
    user = os.environ.get("REDISPROXY_ADMIN_USER", user)
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()}


def call(
    admin: AdminSettings | None, path: str, fields: dict[str, str] | None, cacert: str | None, limit_s: float | None
) -> tuple[int, Any]:
    """The same as L{fetch}, with the answer read from JSON."""
    status, content = fetch(admin, path, fields, cacert, limit_s)
    try:
        return status, json.loads(content)
    except ValueError:
        address = admin.address if admin is not None else ""
        raise AdminUnreachable(f"no answer from {address}: what listens there is no redisproxy") from None


def fetch(
    admin: AdminSettings | None, path: str, fields: dict[str, str] | None, cacert: str | None, limit_s: float | None
) -> tuple[int, bytes]:
    """Ask the running proxy; GET without `fields`, POST with them.

    @param admin: where its admin endpoint is, with its password.
    @param cacert: the file with the CA of the endpoint's certificate; None trusts the certificate in `admin`.
    @param limit_s: how long to wait for each part of the answer; None as long as it takes.
    @return: HTTP status and content.

    @raise AdminUnreachable: there was no answer.
    """
    if admin is None:
        raise AdminUnreachable(NO_ADMIN)
    headers = {**_headers(admin), "Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection = _connection(admin, cacert, limit_s)
    except OSError as error:
        raise AdminUnreachable(f"{cacert or admin.certfile}: {error.strerror or error}") from None
    try:
        body = urlencode(fields) if fields is not None else None
        connection.request("GET" if fields is None else "POST", path, body, headers)
        answer = connection.getresponse()
        content = answer.read(MAX_ANSWER_BYTES)
        if answer.length:
            raise ConnectionResetError("closed in the middle of the answer")
        return answer.status, content
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise AdminUnreachable(
            f"no answer from {admin.address}: {error or 'closed'}\n{_advice(error, admin)}"
        ) from None
    finally:
        connection.close()


def _advice(error: Exception, admin: AdminSettings) -> str:
    """What to do about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the proxy shows another certificate than the one in this configuration: see --cacert, or reload it"
    if isinstance(error, ssl.SSLError):
        uses = "uses TLS there" if admin.tls else "uses no TLS there"
        return f"this configuration {uses}; the running proxy may have been started with another"
    if isinstance(error, TimeoutError) and "handshake" in str(error):
        return "what listens there does not answer to TLS: the running proxy may have been started without admin.tls"
    if isinstance(error, TimeoutError):
        return "the process is there and does not answer: its log says what it is at"
    if isinstance(error, PermissionError):
        return "only the proxy's user and root may use this socket"
    if isinstance(error, OSError) and error.errno in (errno.ECONNREFUSED, errno.ENOENT):
        return "is the proxy running, and with this configuration? (systemctl status redisproxy)"
    wants = "" if admin.tls else ", or it wants TLS (admin.tls)"
    if isinstance(error, ConnectionError):
        return (
            f"the process may have ended in the middle of it{wants}: its log says so, and what was asked for may have"
            " happened. Or something else listens there"
        )
    if isinstance(error, http.client.HTTPException):
        return f"what listens there does not speak HTTP like the proxy's admin endpoint{wants}"
    return "is the proxy running, and does this configuration name its admin address?"
