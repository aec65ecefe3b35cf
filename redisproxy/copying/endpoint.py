"""One of the two servers of a copy or a comparison: how it is asked, and what it can do.

Everything that copies and compares by type asks its servers through this, a database selected beforehand. What a server
can do is found out by commands on a private name that is not there, because they also tell what its user may do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from redisproxy.servers.control_connection import Arg, ServerSaidNo

PRIVATE = b"__redisproxy:"
"""Names that begin so are the proxy's own: left out of copies and comparisons."""
Command = tuple[Arg, ...]

_NOBODY = PRIVATE + b"nobody"
_PROBES: dict[str, Command] = {
    "expiry_times": ("PEXPIRETIME", _NOBODY),
    "field_expiry": ("HPEXPIRETIME", _NOBODY, "FIELDS", 1, "f"),
    "functions": ("FUNCTION", "LIST", "LIBRARYNAME", _NOBODY),
    "memory_usage": ("MEMORY", "USAGE", _NOBODY),
}


class Asks(Protocol):
    """A connection to a server, such as L{redisproxy.servers.control_connection.ControlConnection}.

    @ivar name: the server's name in messages.
    """

    name: str

    async def ask_all(self, *commands: Command) -> list[Any]:
        """Send commands at once; the replies as RESP2 has them: bytes, int, list, None, or a L{ServerSaidNo}.

        @raise UplinkError: the server did not answer.
        """


@dataclass(frozen=True)
class Features:
    """What a server can do, and its user may.

    @ivar expiry_times: it tells when a key expires (PEXPIRETIME, Redis 7.0).
    @ivar field_expiry: fields of hashes have times to live (HPEXPIREAT; Redis 7.4, Valkey 9).
    @ivar functions: it has functions (Redis 7.0).
    @ivar memory_usage: it tells how large a key is.
    @ivar stream_counts: streams count what was added and deleted, and groups what they read (Redis 7.0).
    """

    expiry_times: bool = True
    field_expiry: bool = True
    functions: bool = True
    memory_usage: bool = True
    stream_counts: bool = True


@dataclass(frozen=True)
class Endpoint:
    """A server as copies and comparisons see it."""

    server: Asks
    features: Features

    async def ask_all(self, *commands: Command) -> list[Any]:
        """As L{Asks.ask_all}."""
        return await self.server.ask_all(*commands) if commands else []

    async def ask(self, *command: Arg) -> Any:
        """One command.

        @raise ServerSaidNo: the server answered with an error.
        """
        (reply,) = await self.server.ask_all(command)
        if isinstance(reply, ServerSaidNo):
            raise reply
        return reply


async def endpoint(server: Asks) -> Endpoint:
    """Find out what `server` can do.

    @raise UplinkError: the server did not answer.
    """
    stream_counts: Command = ("XSETID", _NOBODY, "1-0", "ENTRIESADDED", 0, "MAXDELETEDID", "0-0")
    *replies, counts = await server.ask_all(*_PROBES.values(), stream_counts)
    can = {name: not isinstance(reply, ServerSaidNo) for name, reply in zip(_PROBES, replies, strict=True)}
    return Endpoint(server, Features(**can, stream_counts="no such key" in str(counts)))
