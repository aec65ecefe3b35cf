"""Makes the new server a replica of the old one: whether that would work, and the settings that it takes.

Used by the steps preflight, which changes nothing, replicate and finish.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from redisproxy.net.errors import UplinkError
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.redis_server import RedisServer
from redisproxy.switchover.preflight import Source

_TLS = "tls-replication"
_ASK_TLS = tuple(("CONFIG", "GET", name) for name in (_TLS, "tls-cert-file", "tls-ca-cert-file", "tls-ca-cert-dir"))
_OTHER_WAY = "; if the old one has a plain port as well, set switchover.replicate_from and replicate_over_tls to it"


class Following(Protocol):
    """How the new server comes to follow the old one.

    @ivar before: the settings of the new server that L{restore} sets back.
    """

    before: dict[str, str]

    async def faults(self, open_old: Callable[[], Awaitable[RedisServer]], new: RedisServer) -> list[str]:
        """Why the new server could not follow; see L{ReplicaSetup.faults}."""

    async def begin(self, new: RedisServer) -> None:
        """Have `new` follow."""

    async def restore(self, new: RedisServer) -> list[str]:
        """Set back what L{begin} has changed; a text for each setting that could not be set back."""


class ReplicaSetup:
    """Implements L{Following}: the new server is told.

    @param user, password: with what the replica logs in at the old server; without a password it does not.
    @param before: settings that the replica had, if another switchover has made it one.
    @ivar before: the settings that L{restore} sets back.
    """

    def __init__(
        self, source: Source, user: str | None, password: str | None, before: dict[str, str] | None = None
    ) -> None:
        self._source = source
        self._login = () if password is None else (user, password) if user else (password,)
        self._wanted = {"masteruser": user or "", "masterauth": password or "", _TLS: "yes" if source.tls else "no"}
        self._user = user or "default"
        self.before = before if before is not None else {}

    async def faults(self, open_old: Callable[[], Awaitable[RedisServer]], new: RedisServer) -> list[str]:
        """Why the new server could not follow; tried in ways that change nothing.

        @param open_old: opens a connection to the old server, which then logs in as the replica would.
        """
        told = await self._tls_fault(new) if self._source.tls else ""
        old = await open_old()
        try:
            return [text for text in (told, await self._login_fault(old)) if text]
        finally:
            old.close()

    async def _tls_fault(self, new: RedisServer) -> str:
        text = f"the new server can't replicate over TLS from {self._source}"
        before, cert, ca_file, ca_folder = [_value(each) for each in await new.ask_all(*_ASK_TLS)]
        if not before:
            return f"{text}: it was built without TLS{_OTHER_WAY}"
        if not cert or not (ca_file or ca_folder):
            # Not to be tried: Redis 8 and Valkey 9 built without TLS have these settings, too, and crash.
            return f"{text}: it has no tls-cert-file and tls-ca-cert-file{_OTHER_WAY}"
        tried, _ = await new.ask_all(("CONFIG", "SET", _TLS, "yes"), ("CONFIG", "SET", _TLS, before))
        return f"{text}: {tried}{_OTHER_WAY}" if isinstance(tried, ServerSaidNo) else ""

    async def _login_fault(self, old: RedisServer) -> str:
        """Log in as the replica will. REPLCONF without arguments does nothing, but needs the right to it."""
        may = () if not self._login else (("AUTH", *self._login),)
        # Servers before Redis 7 know no DRYRUN, and not everybody may ask; REPLCONF is all that is known then.
        dry = ("ACL", "DRYRUN", self._user, "PSYNC", "?", "-1")
        *replies, allowed = await old.ask_all(dry, *may, ("REPLCONF",))
        refusals = [str(reply) for reply in (*replies[1:], allowed) if isinstance(reply, ServerSaidNo)]
        if isinstance(replies[0], bytes) and replies[0] != b"OK":
            refusals.append(replies[0].decode("utf-8", "replace"))
        if not refusals:
            return ""
        return (
            f"the old server would not let the new one in as a replica ({refusals[0]}): set switchover.replication_user"
            " and replication_pass to a user that may PSYNC, REPLCONF and PING"
        )

    async def begin(self, new: RedisServer) -> None:
        """Configure `new` for logging in at the old server, and have it follow; L{restore} takes the settings back."""
        for name, value in self._wanted.items():
            try:
                before = await new.set_config(name, value)
            except ServerSaidNo:
                if value in ("", "no"):
                    continue  # a server that lacks the setting does what is wanted
                raise
            if before != value:
                self.before.setdefault(name, before)
        await new.follow(self._source.host, self._source.port)

    async def restore(self, new: RedisServer) -> list[str]:
        """Set back what L{begin} has changed; a text for each setting that could not be set back."""
        before = dict(self.before)
        self.before.clear()
        told = []
        for name, value in before.items():
            try:
                await new.set_config(name, value)
            except UplinkError as error:
                told.append(f"{name} of the new server could not be set back: {error}")
        return told


def _value(reply: object) -> bytes:
    """The value in the reply to CONFIG GET; empty if the server lacks the setting or does not tell it."""
    return reply[1] if isinstance(reply, list) and len(reply) == 2 else b""
