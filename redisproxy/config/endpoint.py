"""What listeners and the uplink have in common: address, network, TLS files and TCP keepalive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from redisproxy.config.address import Address, parse_address
from redisproxy.config.section import Section, Text


class KeepaliveSettings(Section):
    """TCP keepalive; C{idle_s} 0 turns it off."""

    idle_s: Annotated[int, Field(ge=0, le=32767)] = 300
    interval_s: Annotated[int, Field(ge=1, le=32767)] = 30
    count: Annotated[int, Field(ge=1, le=127)] = 3


class Endpoint(Section):
    """An address with its TLS files."""

    addr: Text
    network: Literal["tcp", "unix", ""] = "tcp"
    tls: bool = False
    certfile: Text | None = None
    keyfile: Text | None = None
    cacertfile: Text | None = None
    skipverify: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = list(self._wrong())
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def _wrong(self) -> Iterator[str]:
        """The conflicts between keys, one text each; a text about a single key begins with C{.key: }."""
        yield from self._wrong_address()
        if not self.tls and (self.certfile or self.keyfile or self.cacertfile):
            yield 'certfile, keyfile and cacertfile need "tls": true'
        elif bool(self.certfile) != bool(self.keyfile):
            yield "certfile and keyfile go together"

    def _wrong_address(self) -> Iterator[str]:
        try:
            parse_address(self.addr, self.network)
        except ValueError as error:
            yield f".addr: {error}"

    @property
    def address(self) -> Address:
        """The address, parsed."""
        return parse_address(self.addr, self.network)
