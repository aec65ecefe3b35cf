"""What a switchover needs of the proxy, and how it fails."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from redisproxy.servers.redis_server import RedisServer

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings

Report = dict[str, Any]


class SwitchoverFailed(Exception):
    """It did not take place, and everything is as before unless C{str()} says what is not.

    @ivar refused: the preflight said no; nothing has been touched.
    @ivar late: a deadline was not met.
    """

    def __init__(self, message: str, *, refused: bool = False, late: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.late = late


class World(Protocol):
    """What a switchover needs of the proxy."""

    clock: IReactorTime

    @property
    def old(self) -> UplinkSettings: ...

    @property
    def new(self) -> UplinkSettings: ...

    def open_old(self) -> Coroutine[Deferred[Any], Any, RedisServer]:
        """A control connection to the old server."""

    def open_new(self) -> Coroutine[Deferred[Any], Any, RedisServer]:
        """A control connection to the new server."""

    def highest_db(self) -> int:
        """The highest database that a client has selected."""

    def connect(self) -> Coroutine[Deferred[Any], Any, None]:
        """Log in at the new server with all the connections that clients will need, and prepare it for them.

        @raise UplinkError: it can't be done.
        """

    def close_gate(self) -> None: ...

    def open_gate(self) -> Report:
        """Let commands through again; tell how long and how many were held."""

    def drained(self) -> Deferred[None]:
        """Fire when nothing is in flight."""

    def in_flight(self) -> list[dict[str, Any]]:
        """Who has commands in flight now."""

    def prove_watches(self) -> Coroutine[Deferred[Any], Any, None]:
        """See which WATCHes still hold. The old server is fenced."""

    def prepare(self) -> Coroutine[Deferred[Any], Any, None]:
        """The last things at the new server before clients come, with the gate closed.

        @raise UplinkError: that failed.
        """

    def swap(self) -> None:
        """Take the new configuration. The gate is closed and nothing is in flight."""

    def told_to_go_on(self) -> Deferred[None]:
        """In external mode: fire when the operator has promoted the new server."""
