"""Orders to a data plane about its clients. Used through L{redisproxy.dataplane.interface}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.dataplane.client_rows import ClientQuery, ClientTable
    from redisproxy.dataplane.values import ClientLine
    from redisproxy.shared.every_worker import ClientFilter


class ClientOrders(Protocol):
    """The clients of the data plane."""

    def list(self, which: ClientFilter) -> Deferred[tuple[ClientLine, ...]]:
        """Those that `which` describes, in order of their ids. At any time."""

    def table(self, which: ClientQuery) -> Deferred[ClientTable]:
        """Those that `which` describes, as an operator sees them. At any time; can be cancelled."""

    def kill(self, ids: frozenset[int]) -> Deferred[int]:
        """Disconnect these; how many there were. Ids of nobody are ignored, so twice is the same as once."""

    def unblock(self, client_id: int, error: bool = False) -> Deferred[bool]:
        """End the client's blocking command, by a null reply or an UNBLOCKED error; False when it has none."""

    def highest_db(self) -> Deferred[int]:
        """The highest database that a client has selected; 0 without clients. It walks over all of them."""

    def terminate_raw(self) -> Deferred[int]:
        """Close every connection of the raw listeners; how many there were."""

    def stop_listening(self) -> Deferred[None]:
        """Accept no more clients; fire when the ports are closed. Twice is the same as once."""

    def give_notice(self, within_s: float, wait_s: float, endpoint: str = "") -> Deferred[None]:
        """Tell clients that asked for maintenance notifications that the proxy goes away; fire when they have left.

        After C{stop_listening}, with the gate open. Can be cancelled.

        @param within_s: after so many seconds at the most it is gone. @param wait_s: the longest to wait for them.
        @param endpoint: C{host:port} where they are to go; without it they connect again where they did.
        """

    def all_left(self) -> Deferred[None]:
        """Fire when no client is connected, raw ones included; at once without any. Can be cancelled.

        After C{stop_listening}: whoever comes later is waited for, too.
        """

    def close_all(self) -> Deferred[None]:
        """Close every client, raw ones at once; fire when they have gone, after a second at the most. At the end."""
