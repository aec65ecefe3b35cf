"""What replies say of a key that changed while it was read, and of writes that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redisproxy.copying.endpoint import Command, Endpoint
from redisproxy.net.errors import UplinkRefused
from redisproxy.resp import RespError
from redisproxy.servers.control_connection import ServerSaidNo

_CHANGED = ("WRONGTYPE", "no such key", "NOGROUP")


class KeyChanged(Exception):
    """A key vanished or changed its type while it was read."""


def checked(replies: list[Any]) -> list[Any]:
    """The replies to commands that read a key.

    @raise KeyChanged: it is of another type by now, or gone.
    @raise ServerSaidNo: any other error.
    """
    for reply in replies:
        if isinstance(reply, ServerSaidNo):
            if any(words in str(reply) for words in _CHANGED):
                raise KeyChanged
            raise reply
    return replies


async def carry_out(server: Endpoint, commands: Sequence[Command]) -> list[Any]:
    """Send commands that have to succeed, in a MULTI too.

    @raise UplinkRefused: one did not; the text is the server's.
    @raise UplinkError: the server did not answer.
    """
    replies = await server.ask_all(*commands)
    for reply in replies:
        if isinstance(reply, ServerSaidNo):
            raise reply
        if isinstance(reply, list):
            for inner in reply:
                if isinstance(inner, RespError):
                    raise UplinkRefused(f"{server.server.name}: {inner.text}")
    return replies
