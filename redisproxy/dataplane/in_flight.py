"""Who waits for replies of the server: named for an operator, and dropped when a drain takes too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client import Client
from redisproxy.dataplane.interface import ClientInFlight

if TYPE_CHECKING:
    from redisproxy.uplink import UplinkSet


def who(uplinks: UplinkSet, now: float) -> tuple[ClientInFlight, ...]:
    """Each client that waits."""
    clients = uplinks.registry.clients_in_flight()
    return tuple(_named(client, now) for client in clients if isinstance(client, Client))


def drop(uplinks: UplinkSet, now: float) -> tuple[ClientInFlight, ...]:
    """Close what is still in flight; name each client that lost its connection."""
    dropped = []
    for client in uplinks.registry.drop_in_flight():
        if isinstance(client, Client) and not client.closed:
            dropped.append(_named(client, now))
            client.closing.drop("drain_deadline")
    return tuple(dropped)


def _named(client: Client, now: float) -> ClientInFlight:
    return ClientInFlight(
        id=client.id,
        addr=client.address,
        name=client.session.name.decode("latin-1"),
        cmd=client.identity.last_command.decode("latin-1").lower(),
        pending=client.lane.pending,
        age_s=round(now - client.identity.created, 1),
    )
