"""The sections C{listen}, C{listen_raw} and C{admin}: where the proxy listens, and who may connect there."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from redisproxy.config.endpoint import Endpoint, KeepaliveSettings
from redisproxy.config.section import FromList, Passwords, Section, Sha256s, Text


class UserSettings(Section):
    """One user: passwords, of which each is right, or their SHA-256 in hex."""

    name: Text
    passwords: Passwords | None = Field(default=None, alias="pass")
    passfile: Text | None = None
    sha256: Sha256s | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_secret(self) -> UserSettings:
        given = [each for each in (self.passwords, self.sha256) if each is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of pass, passfile and sha256")
        return self


class RawListenSettings(Endpoint):
    """A listener of the raw relay; with C{cacertfile} every client needs a certificate that verifies."""

    backlog: Annotated[int, Field(ge=1, le=65535)] = 511
    tcp_keepalive: KeepaliveSettings = KeepaliveSettings()

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        if self.tls and not self.certfile and not self.keyfile:
            yield "tls needs certfile and keyfile"


class ListenSettings(RawListenSettings):
    """A listener for Redis clients, with its users."""

    passwords: Passwords | None = Field(default=None, alias="pass")
    passfile: Text | None = None
    users: Annotated[tuple[UserSettings, ...], FromList] = ()

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        names = [user.name for user in self.users] + (["default"] if self.passwords else [])
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f".users: the user {name!r} is there twice"


class AdminSettings(ListenSettings):
    """The listener of the admin pages."""

    allow_open: bool = False

    def open_to_anybody(self, addr: str, network: str) -> bool:
        """Whether anybody who reaches this address could use the pages there, and that is not wanted."""
        guarded = self.passwords or self.users or self.cacertfile
        return not guarded and not self.allow_open and not _is_local(addr, network)

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        if self.open_to_anybody(self.addr, self.network):
            yield (
                "anybody who reaches this address could pause the proxy: set pass, users or cacertfile,"
                ' use a loopback address, or set "allow_open": true'
            )


def _is_local(addr: str, network: str) -> bool:
    host = addr.rpartition(":")[0].strip("[]")
    if network == "unix" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
