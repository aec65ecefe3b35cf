"""Listening sockets that the process was started with, as sd_listen_fds(3) of systemd has it, and whose they are.

With a socket unit systemd listens before the proxy has started and after it has ended, and nobody is refused meanwhile.
A socket without a listener is a fault: systemd would go on to listen there, and whoever connects would wait for ever.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from twisted.logger import Logger

from redisproxy.config import AdminSettings, TcpAddress
from redisproxy.net.listening import ListeningSocket, Sockets

if TYPE_CHECKING:
    from redisproxy.config import Address, RawListenSettings, Settings

FIRST_DESCRIPTOR = 3
log = Logger(namespace="redisproxy.network")
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_NAME = re.compile(r"(listen|listen_raw|admin|fleet)(?:\[(\d{1,4})\])?")


class PassedSocketFault(Exception):
    """A passed socket can't be used. C{str()} says which and why, a fault a line."""


class PassedSocket(NamedTuple):
    """A listening socket.

    @ivar name: what the socket unit calls it (C{FileDescriptorName}).
    """

    listening: socket.socket
    name: str

    @property
    def place(self) -> str:
        """Where it listens, written as in the configuration."""
        name = self.listening.getsockname()
        if isinstance(name, tuple):
            return str(TcpAddress(name[0], name[1]))
        return name if isinstance(name, str) else f"@{os.fsdecode(name)[1:]}"

    @property
    def network(self) -> str:
        """C{tcp} or C{unix}."""
        return "unix" if self.listening.family == socket.AF_UNIX else "tcp"

    def __str__(self) -> str:
        return f"socket {self.listening.fileno()} ({self.name}) at {self.place}"


def started_with() -> Mapping[str, str]:
    """The environment that this process was started with.

    Twisted's endpoints remove the variables from C{os.environ} when they are imported, whoever imports them.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = os.fsdecode(file.read()).split("\0")
    except OSError:
        return dict(os.environ)
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def forget(environ: MutableMapping[str, str]) -> None:
    """Remove what `environ` says of the sockets, so that no other process takes them for its own."""
    for variable in _VARIABLES:
        environ.pop(variable, None)


def take(environ: Mapping[str, str]) -> tuple[PassedSocket, ...]:
    """The sockets that were passed to this process; no process that it starts inherits them.

    @raise PassedSocketFault: it makes no sense, or one of them is no listening stream socket.
    """
    pid, count, names = (environ.get(variable, "") for variable in _VARIABLES)
    if pid != str(os.getpid()):
        if pid:
            log.warn("sockets were passed to process {pid}, not to this one ({own})", pid=pid, own=os.getpid())
        return ()
    if not re.fullmatch(r"\d{1,5}", count):
        raise PassedSocketFault(f"LISTEN_FDS has to be a number of sockets, not {count!r}")
    called = names.split(":") if names else ["unknown"] * int(count)
    if len(called) != int(count):
        raise PassedSocketFault(f"LISTEN_FDNAMES has {len(called)} names for {count} sockets")
    return tuple(_passed(FIRST_DESCRIPTOR + at, name) for at, name in enumerate(called))


def _passed(descriptor: int, name: str) -> PassedSocket:
    try:
        found = socket.socket(fileno=descriptor)
    except OSError as error:
        raise PassedSocketFault(f"socket {descriptor} ({name}) was announced and not passed: {error}") from None
    is_stream = found.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) and found.type == socket.SOCK_STREAM
    if not is_stream or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.detach()
        raise PassedSocketFault(
            f"socket {descriptor} ({name}) is no TCP or Unix stream socket that listens:"
            " the socket unit may have ListenStream= only, and no Accept=yes"
        )
    found.set_inheritable(False)
    found.setblocking(False)
    return PassedSocket(found, name)


def assign(passed: Sequence[PassedSocket], settings: Settings) -> Mapping[Address, list[PassedSocket]]:
    """The sockets of each listener that has any, by its address in the configuration.

    A socket belongs to the listener that its name says (C{listen}, C{listen[1]}, C{admin}, C{fleet}), else to that
    which has its address.

    @raise PassedSocketFault: one belongs to no listener, or opens the admin pages to anybody.
    """
    owned: dict[Address, list[PassedSocket]] = {}
    faults = []
    for each in passed:
        owner = _owner(each, settings)
        if owner is None:
            faults.append(_nobodys(each, settings))
        elif isinstance(owner, AdminSettings) and owner.open_to_anybody(each.place, each.network):
            faults.append(f"{each}: anybody could pause the proxy there; set pass, users or cacertfile of admin")
        else:
            owned.setdefault(owner.address, []).append(each)
    if faults:
        raise PassedSocketFault("\n".join(faults))
    return owned


def of_service_manager(environ: Mapping[str, str], settings: Settings) -> Sockets:
    """The sockets of the listeners for which the service manager has passed any.

    @raise PassedSocketFault: as L{take} and L{assign} do.
    """
    assigned = assign(take(environ), settings)
    return {
        address: [ListeningSocket(each.listening, each.name) for each in sockets]
        for address, sockets in assigned.items()
    }


def has_owner(passed: PassedSocket, settings: Settings) -> bool:
    """Whether there is a listener to which it belongs."""
    return _owner(passed, settings) is not None


def _owner(passed: PassedSocket, settings: Settings) -> RawListenSettings | None:
    named = _NAME.fullmatch(passed.name)
    candidates = [endpoint for section, endpoint in settings.listeners if not named or section == named[1]]
    if named and named[2]:
        return candidates[int(named[2])] if int(named[2]) < len(candidates) else None
    if named and len(candidates) == 1:
        return candidates[0]
    return next((endpoint for endpoint in candidates if _is_at(passed.listening, endpoint.address)), None)


def _nobodys(passed: PassedSocket, settings: Settings) -> str:
    places = ", ".join(f"{section} {endpoint.address}" for section, endpoint in settings.listeners)
    return (
        f"the service manager has passed {passed}, which is no listener of the configuration ({places}):"
        " correct addr there or ListenStream= in the socket unit, or name the listener with FileDescriptorName="
    )


def _is_at(passed: socket.socket, address: Address) -> bool:
    name = passed.getsockname()
    if not isinstance(address, TcpAddress):
        return isinstance(name, str) and os.path.realpath(name) == os.path.realpath(address.path)
    if passed.family == socket.AF_UNIX or name[1] != address.port:
        return False
    if name[0] == "::" and address.host in ("", "0.0.0.0"):
        return not passed.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) or not address.host
    return name[0] in _numbers(address)


def _numbers(address: TcpAddress) -> set[str]:
    """The IP addresses that a listener's host stands for."""
    if not address.host:
        return {"0.0.0.0", "::"}
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        found = socket.getaddrinfo(address.host, address.port, family, socket.SOCK_STREAM)
    except OSError:
        return set()
    return {str(each[4][0]) for each in found}
