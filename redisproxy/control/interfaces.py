"""What the operations of L{control.Control} need of the proxy: interfaces, so that they can be tested without one."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from redisproxy.forwarding.gate import Gate
from redisproxy.switchover import World

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings, TcpAddress
    from redisproxy.figures.metrics import Metrics

Answer = dict[str, Any]
"""What the admin endpoint answers, as JSON."""


class Rejected(Exception):
    """The new configuration is not taken; C{str()} says why, a fault a line."""


class Plan(Protocol):
    """A new configuration, read, checked and connected; nothing has changed yet."""

    changed: tuple[str, ...]

    def prepare(self) -> Coroutine[Deferred[Any], Any, None]:
        """Bring what has passed since it was made to the new server. Called with the gate closed, before L{swap}.

        @raise UplinkError: that failed.
        """

    def swap(self) -> None:
        """Take it. Called with the gate closed and nothing in flight."""

    def abandon(self) -> None:
        """Leave no trace of it."""


class Relocation(World, Protocol):
    """A switchover's world, made for one."""

    @property
    def settings(self) -> SwitchoverSettings: ...

    def abandon(self) -> None:
        """Leave no trace of the new configuration."""

    def go_on(self) -> bool:
        """The operator's word; False when nobody waits for it."""


class Proxy(Protocol):
    """What the operations need of the proxy."""

    gate: Gate
    metrics: Metrics
    clock: IReactorTime

    @property
    def drain_limit_s(self) -> float: ...

    @property
    def busy(self) -> str:
        """What to do when the server answers nobody because of a script; empty when it does not run one for long."""

    def prepare_reload(self) -> Coroutine[Deferred[Any], Any, Plan]:
        """Read and check the configuration and connect to its uplink.

        @raise Rejected: it is not good.
        """

    def prepare_move(self, address: TcpAddress) -> Coroutine[Deferred[Any], Any, Plan]:
        """Connect to the uplink's new primary there.

        @raise Rejected: that can't be.
        @raise UplinkError: it can't be reached.
        """

    def prepare_switchover(self, gatekeeper: Any) -> Relocation:
        """Read and check the configuration; its uplink is where the switchover goes.

        @raise Rejected: it is not good.
        """

    def drop_in_flight(self) -> list[Answer]:
        """Close what is still in flight; name each client that lost its connection."""

    def gate_closed(self) -> None:
        """The gate was closed: unblock what waits at the server."""

    def gate_opened(self) -> None:
        """A reason to keep the gate closed is gone, maybe the last one."""
