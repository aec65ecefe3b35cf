"""What is asked of sockets, whichever transports are above them: options, stale unix sockets, adopted descriptors."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError


def set_keepalive(transport: Any, idle_s: int, interval_s: int, count: int) -> None:
    """Switch TCP keepalive on; nothing happens on a unix socket or with `idle_s` 0."""
    if not idle_s:
        return
    with tcp_socket(transport) as sock:
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def set_user_timeout(transport: Any, milliseconds: int) -> None:
    """Have the kernel give the connection up when what was sent stays unacknowledged for so long (Linux)."""
    with tcp_socket(transport) as sock:
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def without_delay(sock: socket.socket) -> None:
    """Send what is written at once (Nagle's algorithm would hold the second small reply until the first is
    acknowledged, which takes 40 ms)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def stream_socket(fd: int) -> socket.socket:
    """The socket that `fd` stands for, prepared as an accepted one is: not blocking, not inherited, without delay.

    @raise ValueError: it is no stream socket of the kinds that clients come on.
    @raise OSError: it is no open socket.
    """
    sock = socket.socket(fileno=fd)
    is_tcp = sock.family in (socket.AF_INET, socket.AF_INET6)
    if not (is_tcp or sock.family == socket.AF_UNIX) or sock.type != socket.SOCK_STREAM:
        sock.detach()
        raise ValueError(f"descriptor {fd} is no TCP or unix stream socket")
    sock.setblocking(False)
    sock.set_inheritable(False)
    if is_tcp:
        without_delay(sock)
    return sock


def listening_socket(address: Any, backlog: int) -> socket.socket:
    """A socket that listens on a TCP or unix address, not blocking.

    @raise CannotListenError: the address can't be bound.
    """
    path = getattr(address, "path", None)
    if path is not None:
        clear_stale_socket(path)
        bound, place = socket.socket(socket.AF_UNIX), path
    else:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        bound, place = socket.socket(family), (address.host, address.port)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(place)
        bound.listen(backlog)
    except OSError as error:
        bound.close()
        interface, port = (None, path) if path is not None else (address.host, address.port)
        raise CannotListenError(interface, port, error) from None
    bound.setblocking(False)
    return bound


def clear_stale_socket(path: str) -> None:
    """Remove a unix socket that nobody listens on any more; anything else at `path` stays.

    @raise CannotListenError: something else is there, or somebody listens.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotListenError(None, path, OSError(17, "there is a file that is no socket"))
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # a backlog that is full would hold it for as long as nobody accepts
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # it is full
        except OSError as error:
            raise CannotListenError(None, path, error) from None
    raise CannotListenError(None, path, OSError(98, "Address already in use"))


@contextmanager
def closed_on_error(fd: int) -> Iterator[None]:
    """Close `fd` when what is done with it fails."""
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def address_from(name: Any) -> Any:
    """A Twisted address from what a socket calls itself."""
    if isinstance(name, tuple):
        return (IPv6Address if len(name) == 4 else IPv4Address)("TCP", *name[:2])
    return UNIXAddress(name or None)


@contextmanager
def tcp_socket(transport: Any) -> Iterator[socket.socket | None]:
    """The TCP socket beneath a transport, which keeps it; None when there is none."""
    fd = transport.fileno() if hasattr(transport, "fileno") else -1
    if fd < 0:
        yield None
        return
    sock = socket.socket(fileno=fd)
    try:
        yield sock if sock.family in (socket.AF_INET, socket.AF_INET6) else None
    finally:
        sock.detach()
