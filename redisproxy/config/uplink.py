"""The section C{uplink}: the Redis server that the proxy forwards to, or the sentinels that know its address."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, SecretStr, StringConstraints

from redisproxy.config.address import Address, TcpAddress, Undiscovered, is_name, or_local, parse_address
from redisproxy.config.endpoint import Endpoint, KeepaliveSettings
from redisproxy.config.section import Command, Count, CountOrOff, FromList, Milliseconds, MillisecondsOrOff, Text

MasterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=255)]
DNS_PORT = 53
_SENTINEL_KEYS = {
    "sentinel_user": "sentinel_user",
    "sentinel_passfile": "sentinel_passfile",
    "sentinel_password": "sentinel_pass",
    "sentinel_tls": "sentinel_tls",
    "sentinel_server_name": "sentinel_server_name",
    "sentinel_poll_ms": "sentinel_poll_ms",
    "sentinel_timeout_ms": "sentinel_timeout_ms",
    "sentinel_hold_ms": "sentinel_hold_ms",
}


class UplinkSettings(Endpoint):
    """The Redis server that the proxy forwards to: the one at C{addr}, or the primary that the sentinels name."""

    addr: Text = ""
    user: Text | None = None
    password: SecretStr | None = Field(default=None, alias="pass")
    passfile: Text | None = None
    passcommand: Command | None = Field(default=None, repr=False)
    pass_ttl_ms: MillisecondsOrOff = 0
    pass_timeout_ms: Milliseconds = 10000
    sentinels: Annotated[tuple[Text, ...], FromList, Field(min_length=1, max_length=100)] = ()
    master_name: MasterName | None = None
    sentinel_user: Text | None = None
    sentinel_password: SecretStr | None = Field(default=None, alias="sentinel_pass")
    sentinel_passfile: Text | None = None
    sentinel_tls: bool | None = None
    sentinel_server_name: Text | None = None
    sentinel_poll_ms: Milliseconds = 2000
    sentinel_timeout_ms: Milliseconds = 1000
    sentinel_hold_ms: MillisecondsOrOff = 2000
    server_name: Text | None = None
    resolve_ms: MillisecondsOrOff = 5000
    nameserver: Text | None = None
    connect_timeout_ms: Milliseconds = 5000
    wait_limit_ms: Milliseconds = 10000
    reconnect_min_ms: Milliseconds = 50
    reconnect_max_ms: Milliseconds = 2000
    ping_interval_ms: MillisecondsOrOff = 5000
    ping_timeout_ms: Milliseconds = 5000
    multiplex: bool = True
    max_pinned: Count = 10000
    max_dedicated: CountOrOff = 256
    tcp_keepalive: KeepaliveSettings = KeepaliveSettings(idle_s=60, interval_s=10, count=3)
    _found: TcpAddress | None = PrivateAttr(default=None)

    def _wrong_address(self) -> Iterator[str]:
        yield from _sentinel_faults(self)
        if not self.sentinels and self.addr:
            yield from super()._wrong_address()

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        yield from self._wrong_password()
        if self.tls and self.network == "unix" and self.server_name is None and not self.skipverify:
            yield "tls on a unix socket needs server_name"
        if self.tls and not self.cacertfile and not self.skipverify:
            yield 'tls needs cacertfile, or "skipverify": true to trust any server'
        if self.reconnect_max_ms < self.reconnect_min_ms:
            yield ".reconnect_max_ms: it is less than reconnect_min_ms"
        if self.nameserver is not None:
            yield from _nameserver_faults(self)

    def _wrong_password(self) -> Iterator[str]:
        if self.user is not None and self.password is None and self.passcommand is None:
            yield "user needs pass, passfile or passcommand"
        if self.password is not None and self.passcommand is not None:
            yield ".passcommand: give only one of pass, passfile and passcommand"
        for name in ("pass_ttl_ms", "pass_timeout_ms"):
            if name in self.model_fields_set and self.passcommand is None:
                yield f".{name}: it needs passcommand"

    @property
    def address(self) -> Address:
        """The address of the server; without a host it is this machine."""
        if self.sentinels:
            return self._found or Undiscovered(self.master_name or "", 0)
        return or_local(parse_address(self.addr, self.network))

    @property
    def found(self) -> TcpAddress | None:
        """Where the primary was found, by sentinels or behind the name in C{addr}; None before, and without these."""
        return self._found

    @property
    def place(self) -> Address:
        """Where connections go: to the address that was found, or else to C{address}."""
        return self._found or self.address

    @property
    def watched_name(self) -> TcpAddress | None:
        """The name in C{addr}, with its port, if what it points to is watched; None without one."""
        if self.sentinels or not self.resolve_ms or self.network == "unix":
            return None
        address = self.address
        return address if isinstance(address, TcpAddress) and is_name(address.host) else None

    @property
    def nameserver_address(self) -> TcpAddress | None:
        """The name server to ask; None for the system's."""
        return None if self.nameserver is None else _with_port(self.nameserver)

    @property
    def sentinel_addresses(self) -> tuple[TcpAddress, ...]:
        """The addresses of the sentinels."""
        addresses = (or_local(parse_address(sentinel, "tcp")) for sentinel in self.sentinels)
        return tuple(address for address in addresses if isinstance(address, TcpAddress))

    @property
    def tls_to_sentinels(self) -> bool:
        """Whether connections to the sentinels use TLS."""
        return self.tls if self.sentinel_tls is None else self.sentinel_tls

    def at(self, found: TcpAddress) -> Self:
        """The same settings, with the primary at `found`, which the sentinels, or a name server, have told."""
        copy = self.model_copy()
        copy._found = found
        return copy


def _with_port(nameserver: str) -> TcpAddress:
    """
    @raise ValueError: this is no address.
    """
    bare = ":" not in nameserver or (nameserver.startswith("[") and nameserver.endswith("]"))
    address = parse_address(f"{nameserver}:{DNS_PORT}" if bare else nameserver, "tcp")
    assert isinstance(address, TcpAddress)
    return address


def _nameserver_faults(uplink: UplinkSettings) -> Iterator[str]:
    """The faults of the key C{nameserver}, each as C{.key: what is wrong}."""
    try:
        host = _with_port(uplink.nameserver or "").host
    except ValueError as error:
        yield f".nameserver: {_without_path(error)}"
        return
    if not host or is_name(host):
        yield ".nameserver: give its IP address, with or without a port"
    elif uplink.sentinels or uplink.network == "unix" or not uplink.resolve_ms:
        yield ".nameserver: it needs a name in addr, and resolve_ms"


def _sentinel_faults(uplink: UplinkSettings) -> Iterator[str]:
    """The faults of the keys for Sentinel, each as C{.key: what is wrong}."""
    if uplink.sentinels:
        yield from _wrong_addresses(uplink.sentinels)
        yield from _wrong_together(uplink)
        return
    if uplink.master_name is not None:
        yield ".sentinels: missing"
    elif not uplink.addr:
        yield ".addr: missing"
    for name, key in _SENTINEL_KEYS.items():
        from_file = name == "sentinel_password" and uplink.sentinel_passfile is not None
        if name in uplink.model_fields_set and not from_file:
            yield f".{key}: it needs sentinels"


def _without_path(error: ValueError) -> str:
    return str(error).replace(', or a path with network "unix"', "")


def _wrong_addresses(sentinels: tuple[str, ...]) -> Iterator[str]:
    for number, sentinel in enumerate(sentinels):
        try:
            parse_address(sentinel, "tcp")
        except ValueError as error:
            yield f".sentinels[{number}]: {_without_path(error)}"
        if sentinel in sentinels[:number]:
            yield f".sentinels[{number}]: it is there twice"


def _wrong_together(uplink: UplinkSettings) -> Iterator[str]:
    if uplink.addr:
        yield ".addr: give either addr or sentinels"
    if uplink.network == "unix":
        yield ".network: sentinels tell of TCP addresses"
    if uplink.master_name is None:
        yield ".master_name: missing"
    if uplink.sentinel_user is not None and uplink.sentinel_password is None:
        yield ".sentinel_user: it needs sentinel_pass or sentinel_passfile"
    if uplink.sentinel_tls and not uplink.tls:
        yield '.sentinel_tls: it needs "tls": true'
