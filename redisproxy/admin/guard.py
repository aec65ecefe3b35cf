"""Who may call: authentication, and no request that a page of another site has made a browser send."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

from twisted.web.server import Request

from redisproxy.config.authentication import DEFAULT_USER


class Users(Protocol):
    """Who may use the pages; see C{auth.Authenticator}."""

    @property
    def has_default(self) -> bool: ...

    def check(self, user: bytes, password: bytes) -> bool: ...


def header(request: Request, name: str) -> str:
    """A request header, empty when it is not there. Any byte may be in it; Twisted would insist on UTF-8."""
    values = request.requestHeaders.getRawHeaders(name.encode())
    return values[-1].decode("latin-1") if values else ""


def _netloc(url: str) -> str:
    """Host and port of a URL; empty when it is none."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


class Guard:
    """Looks at a request before any page does.

    @param users: asked at every request, so that a reload changes them.
    @param failed: called for every wrong password.
    """

    def __init__(self, users: Callable[[], Users | None], failed: Callable[[], None]) -> None:
        self._users = users
        self._failed = failed

    def authenticated(self, request: Request) -> bool:
        """Whether the request brings a right name and password (HTTP Basic), or needs none.

        With only C{pass} configured the name may be empty, C{default} or C{admin}.
        """
        users = self._users()
        if users is None:
            return True
        found = _credentials(header(request, "authorization"))
        if found is None:
            return False
        user, password = found
        if users.has_default and user in (b"", b"admin"):
            user = DEFAULT_USER
        right = users.check(user, password)
        if not right:
            self._failed()
        return right

    def who(self, request: Request) -> str:
        """Who has sent a request that is L{authenticated}, for the log."""
        found = None if self._users() is None else _credentials(header(request, "authorization"))
        address = request.getClientAddress()
        place = getattr(address, "host", "") or "the Unix socket"
        return f"{found[0].decode('utf-8', 'replace') or 'default'} at {place}" if found else f"somebody at {place}"

    def cross_site(self, request: Request) -> str:
        """Why a POST is not to be believed; empty when it is.

        Browsers name the page behind a POST in Origin and Sec-Fetch-Site; curl and scripts send neither. Without
        authentication a Host that is a name would let a foreign page in by rebinding the name's address.
        """
        if header(request, "sec-fetch-site") in ("cross-site", "same-site"):
            return "cross-site requests are refused"
        host = header(request, "host")
        origin = header(request, "origin")
        if origin and (not _netloc(origin) or _netloc(origin) != host.lower()):
            return "requests from another origin are refused"
        if self._users() is None and host and not _is_literal(host):
            return "without authentication, use an IP address or localhost as the host"
        return ""


def _credentials(value: str) -> tuple[bytes, bytes] | None:
    kind, _, encoded = value.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return (user, password) if colon else None


def _is_literal(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
