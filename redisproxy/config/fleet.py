"""The section C{fleet}: which proxies are operated as one, and how they prove to each other that they belong to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from redisproxy.config.address import TcpAddress, parse_address
from redisproxy.config.listeners import RawListenSettings
from redisproxy.config.section import FromList, Section, Text

MIN_SECRET = 16
MAX_PEERS = 32


class FleetListenSettings(RawListenSettings):
    """Where this proxy takes the connections of its peers; its certificate is also shown to them."""

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        if self.network == "unix":
            yield ".network: peers connect over TCP"
        if self.tls and not self.cacertfile:
            yield "tls needs cacertfile, with which both sides verify each other"


class FleetSettings(Section):
    """The fleet.

    @ivar peers: the addresses of the others; one of this proxy's own is left out. A name may stand for many.
    @ivar lease_ms: a peer that has heard nothing of who leads it for so long goes on by itself.
    @ivar server_name: the name that the certificates of all peers are for, if it is not that in C{peers}.
    """

    listen: FleetListenSettings
    peers: Annotated[tuple[Text, ...], FromList, Field(min_length=1, max_length=MAX_PEERS)]
    secret: SecretStr | None = None
    secretfile: Text | None = None
    lease_ms: Annotated[int, Field(ge=500, le=60_000)] = 2000
    server_name: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> FleetSettings:
        if wrong := list(self._wrong()):
            raise ValueError("\n".join(wrong))
        return self

    def _wrong(self) -> Iterator[str]:
        for number, peer in enumerate(self.peers):
            try:
                host = parse_address(peer, "tcp")
                if isinstance(host, TcpAddress) and not host.host:
                    yield f".peers[{number}]: the host is missing"
            except ValueError as error:
                yield f".peers[{number}]: {error}"
        if self.secret is None and not self.listen.tls:
            yield ".secret: needed without TLS, so that nobody else can give orders"
        if self.secret is not None and len(self.secret.get_secret_value()) < MIN_SECRET:
            yield f".secret: at least {MIN_SECRET} characters are needed"

    @property
    def addresses(self) -> tuple[TcpAddress, ...]:
        """Where the peers are, by name."""
        found = (parse_address(peer, "tcp") for peer in self.peers)
        return tuple(each for each in found if isinstance(each, TcpAddress))

    @property
    def key(self) -> bytes:
        """What both sides prove to have; empty when their certificates are the proof."""
        return b"" if self.secret is None else self.secret.get_secret_value().encode()
