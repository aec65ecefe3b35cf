"""Who waits for replies of the server: named for an operator, and dropped when a drain takes too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client import Client
from redisproxy.dataplane.interface import ClientInFlight
from redisproxy.figures.slow_log import next_of
from redisproxy.forwarding.entry import NOT_COUNTED

if TYPE_CHECKING:
    from redisproxy.forwarding.twins import Entry
    from redisproxy.uplink import UplinkSet


def who(uplinks: UplinkSet, now: float) -> tuple[ClientInFlight, ...]:
    """Each client that waits."""
    clients = uplinks.registry.clients_in_flight()
    return tuple(_named(client, entry, now) for client, entry in clients.items() if isinstance(client, Client))


def drop(uplinks: UplinkSet, now: float) -> tuple[ClientInFlight, ...]:
    """Close what is still in flight; name each client that lost its connection."""
    dropped = []
    for client, entry in uplinks.registry.drop_in_flight().items():
        if isinstance(client, Client) and not client.closed:
            dropped.append(_named(client, entry, now))
            client.closing.drop("drain_deadline")
    return tuple(dropped)


def _named(client: Client, entry: Entry, now: float) -> ClientInFlight:
    command = next_of(entry)[1] if entry.family != NOT_COUNTED else client.identity.last_command.decode("latin-1")
    return ClientInFlight(
        id=client.id,
        addr=client.address,
        name=client.session.name.decode("latin-1"),
        cmd=command.lower(),
        pending=client.lane.pending,
        age_s=round(now - client.identity.created, 1),
    )
