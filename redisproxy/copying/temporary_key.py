"""A large value while it is written: under a private name, which becomes the key's when all of it is there."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

from redisproxy.copying.endpoint import PRIVATE, Command, Endpoint
from redisproxy.copying.replies import carry_out
from redisproxy.net.errors import UplinkError, UplinkRefused

_LEFT_S = 600
"""How long it is kept if it is never completed, nor removed because the connection is lost."""


class TemporaryKey:
    """A value under a name of its own.

    @ivar name: the name.
    """

    def __init__(self, server: Endpoint) -> None:
        self.name = PRIVATE + b"copy:" + uuid4().hex.encode()
        self._server = server
        self._begun = False

    async def write(self, commands: Sequence[Command]) -> None:
        """Add to it. In a transaction: in between it can't be evicted, and then be begun anew without its beginning.

        @raise UplinkError: the server did not answer, refused it, or has evicted what was written before.
        """
        keep: Command = ("EXPIRE", self.name, _LEFT_S)
        *_, done = await carry_out(self._server, [("MULTI",), ("EXISTS", self.name), *commands, keep, ("EXEC",)])
        if self._begun and not done[0]:
            raise self._lost()
        self._begun = True

    async def become(self, key: bytes, expires_ms: int | None) -> None:
        """Take the place of `key`, expiring at this Unix time or never.

        @raise UplinkError: the server did not answer, refused it, or has evicted it.
        """
        life: Command = ("PERSIST", key) if expires_ms is None else ("PEXPIREAT", key, expires_ms)
        there: Command = ("EXISTS", self.name)
        if (await carry_out(self._server, [there]))[0] != 1:
            raise self._lost()
        await carry_out(self._server, [("MULTI",), ("RENAME", self.name, key), life, ("EXEC",)])

    def _lost(self) -> UplinkRefused:
        name = self._server.server.name
        return UplinkRefused(f"{name}: a value is gone that was only half written; is maxmemory large enough there?")

    async def discard(self) -> None:
        """Remove it, if the server still answers."""
        try:
            await self._server.ask_all(("UNLINK", self.name))
        except UplinkError:
            return
