"""Addresses: a host and port, or the path of a unix socket; how they are written, and which are on this machine."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TcpAddress:
    """Host and port; for a listener an empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Undiscovered(TcpAddress):
    """The address of a primary before any sentinel has named it; C{host} is the name that sentinels know it by."""

    def __str__(self) -> str:
        return f"{self.host} (found through Sentinel)"


@dataclass(frozen=True)
class UnixAddress:
    """The path of a unix socket."""

    path: str

    def __str__(self) -> str:
        return self.path


Address = TcpAddress | UnixAddress


def parse_address(addr: str, network: str) -> Address:
    """Read C{host:port}, C{[v6]:port}, C{:port}, or a path when `network` is C{unix}.

    @raise ValueError: `addr` is no address; the text says why.
    """
    if network == "unix":
        if len(addr.encode()) > 107:
            raise ValueError("the path of a unix socket may have at most 107 bytes")
        if "\0" in addr:
            raise ValueError("the path of a unix socket can't hold a NUL")
        return UnixAddress(addr)
    match = re.fullmatch(r"(?:\[([^\]]*)\]|([^:\[\]]*)):([0-9]{1,5})", addr)
    if match is None:
        raise ValueError('expected host:port, [v6 address]:port, or a path with network "unix"' + _hint(addr))
    port = int(match[3])
    if not 1 <= port <= 65535:
        raise ValueError("the port must be from 1 to 65535")
    if match[2] is not None and re.search(r"[\s\x00-\x1f/@${}]", match[2]):
        raise ValueError("this is no host name")
    if match[1] is not None:
        try:
            ipaddress.IPv6Address(match[1].partition("%")[0])
        except ValueError:
            raise ValueError("this is no IPv6 address") from None
    return TcpAddress(match[2] if match[1] is None else match[1], port)


def _hint(addr: str) -> str:
    """What somebody may have meant; nothing of what is written is repeated: it may hold a password."""
    if "://" in addr:
        return '; no URL: "tls": true has TLS, "user" and "pass" are keys of their own'
    if addr.startswith(("/", "./")):
        return '; set "network": "unix" for a path'
    if addr.count(":") > 1:
        return "; an IPv6 address stands in brackets"
    return "; the port is missing" if addr and ":" not in addr else ""


def is_name(host: str) -> bool:
    """Whether a host is a name that somebody else may point elsewhere: no IP address, and not this machine."""
    if not host or host.lower().rstrip(".") == "localhost":
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    return False


def or_local(address: Address) -> Address:
    """The address with C{localhost} in the place of an empty host."""
    return TcpAddress("localhost", address.port) if isinstance(address, TcpAddress) and not address.host else address


def on_this_machine(address: Address) -> tuple[Address, ...]:
    """All ways in which clients on this machine may write the address of a listener."""
    if not isinstance(address, TcpAddress) or address.host not in ("", "0.0.0.0", "::"):
        return (address,)
    return (address, *(TcpAddress(host, address.port) for host in ("localhost", "127.0.0.1", "::1")))
