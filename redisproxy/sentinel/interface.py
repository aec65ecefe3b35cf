"""What tells where the primary is: sentinels, or a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from redisproxy.config import Address, TcpAddress, UplinkSettings
    from redisproxy.sentinel.finder import Sentinel


class PrimaryFinder(Protocol):
    """Finds the primary of one configuration.

    @ivar name: how messages call it. @ivar sentinels: whose events tell of a change; there may be none.
    @ivar error: why the primary was not found or not followed the last time; empty when it was.
    @ivar last_switch: what was told of the last change of the primary.
    """

    name: str
    error: str
    last_switch: dict[str, Any]

    @property
    def sentinels(self) -> Sequence[Sentinel]: ...

    @property
    def poll_s(self) -> float:
        """When to look again, if nothing gives reason to."""

    @property
    def lost_poll_s(self) -> float:
        """When to look again while there is no connection to the server in use."""

    @property
    def hold_s(self) -> float:
        """How long clients are held from the beginning of a failover on."""

    @property
    def backoff_s(self) -> tuple[float, float]:
        """The shortest and the longest wait after a failure."""

    def watches(self, uplink: UplinkSettings) -> bool:
        """Whether it is the one for `uplink`."""

    async def find(self, current: Address | None = None, first: Sentinel | None = None) -> TcpAddress:
        """Where the primary is.

        @param current: the server in use. @param first: the sentinel to ask before the others.
        @raise UplinkError: nobody knows.
        """

    def describe(self) -> dict[str, Any]:
        """What the pages show."""
