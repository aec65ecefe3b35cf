"""Clients that asked for maintenance notifications (CLIENT MAINT_NOTIFICATIONS), and what they are told.

The command path knows nothing of this. The proxy tells of each pause here, and whoever stops it, that it goes away;
client libraries relax their timeouts meanwhile, or connect anew. The format is what Redis Enterprise sends and
redis-py, node-redis, go-redis, Jedis and Lettuce parse: a push with the event's name, its sequence number, seconds
where something begins, and the ids of shards, or a new endpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from redisproxy import resp
from redisproxy.forwarding.gate import FAILOVER, SHUTDOWN

if TYPE_CHECKING:
    from redisproxy.forwarding.gate import Gate

UNNOTICED_S = 0.01
"""A pause that ends sooner is told to nobody: there is no timeout so short, and telling would make it longer."""
BATCH = 25
"""How many clients are told in one turn of the reactor, so that a pause is not longer for them."""
NO_ENDPOINT = b"none"
ENDPOINT_TYPES = frozenset({b"internal-ip", b"external-ip", b"internal-fqdn", b"external-fqdn", NO_ENDPOINT})
_WITHIN_S = 1
"""When it begins, at the latest, of which a notification tells."""
_SHARDS = b'["0"]'
_PAUSE = (b"MIGRATING", b"MIGRATED")
_FAILOVER = (b"FAILING_OVER", b"FAILED_OVER")
ENDS = (_PAUSE[1], _FAILOVER[1])
"""The names of the events that end one."""


class Library(Protocol):
    """What a client has said of its library (CLIENT SETINFO)."""

    lib_name: bytes


class Client(Protocol):
    """Whoever wants to know."""

    @property
    def closed(self) -> bool: ...

    @property
    def session(self) -> Library: ...

    def push(self, data: bytes) -> None:
        """Send a push message."""


class Maintenance:
    """All who want to know.

    @ivar sequence: the number of the last notification.
    """

    def __init__(self, gate: Gate, clock: IReactorTime) -> None:
        self._gate = gate
        self._clock = clock
        self._wishes: dict[Client, bytes] = {}
        self._told: dict[Client, bytes] = {}
        self.sequence = 0
        self._event: tuple[bytes, bytes] | None = None
        self._begins: IDelayedCall | None = None
        self._left: Iterator[Client] = iter(())
        self._next: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._wishes)

    def __contains__(self, client: Client) -> bool:
        return client in self._wishes

    def tell(self, client: Client, endpoint_type: bytes) -> None:
        """Tell `client` from now on. It asks while the gate is open."""
        self._wishes[client] = endpoint_type

    def forget(self, client: Client) -> None:
        """Tell `client` no more."""
        self._wishes.pop(client, None)
        self._told.pop(client, None)

    def export(self, client: Client) -> tuple[bytes, bytes] | None:
        """What `client` has asked for, and the name of the end that it is to be told; None if it has not asked."""
        wish = self._wishes.get(client)
        return None if wish is None else (wish, self._told.get(client, b""))

    def take_in(self, client: Client, endpoint_type: bytes, told: bytes, sequence: int) -> None:
        """Tell `client` from now on, as another process has until now; of the end of its pause at once if all goes on.

        @param told, sequence: see L{export}, and C{sequence} there.
        """
        self._wishes[client] = endpoint_type
        self.sequence = max(self.sequence, sequence)
        if told:
            self._told[client] = told
        if told and self._event is None:
            self._next_number()
            self._bring_up_to_date(client)

    # -- pauses

    def gate_closed(self) -> None:
        """A pause has begun."""
        reasons = self._gate.reasons
        if SHUTDOWN not in reasons:
            self._event = _FAILOVER if FAILOVER in reasons else _PAUSE
            self._begins = self._clock.callLater(UNNOTICED_S, self._tell_of_beginning)

    def gate_opened(self) -> None:
        """A reason of a pause is gone, maybe the last one."""
        if self._gate.open and self._event is not None:
            self._event = None
            if self._begins is not None:
                self._begins.cancel()
                self._begins = None
            self._next_number()
            self._left = iter(list(self._told))
            self._go_on_later()

    def _tell_of_beginning(self) -> None:
        self._begins = None
        self._next_number()
        self._left = iter(list(self._wishes))
        self._tell_some()

    def stop(self) -> None:
        """Tell nobody of anything any more."""
        for call in (self._begins, self._next):
            if call is not None:
                call.cancel()
        self._begins = self._next = None

    def _go_on_later(self) -> None:
        if self._next is None:
            self._next = self._clock.callLater(0, self._go_on)

    def _go_on(self) -> None:
        self._next = None
        self._tell_some()

    def _tell_some(self) -> None:
        batch = list(islice(self._left, BATCH))
        for client in batch:
            if client in self._wishes:
                self._bring_up_to_date(client)
        if len(batch) == BATCH:
            self._go_on_later()

    def _bring_up_to_date(self, client: Client) -> None:
        """Tell of a beginning, or of its end. Who has not heard of a pause hears nothing of its end."""
        if self._event is None:
            ends = self._told.pop(client, None)
            if ends is not None:
                client.push(self._push(ends, _SHARDS))
        elif client not in self._told:
            begins, self._told[client] = self._event
            client.push(self._push(begins, _WITHIN_S, _SHARDS))

    # -- going away

    def moving(self, seconds: float, endpoint: str = "") -> list[Client]:
        """Tell that this proxy goes away in `seconds`; return who was told.

        @param endpoint: C{host:port} where to go; without it clients connect again where they did. It is left out for
            those who want none.
        """
        self._next_number()
        told = []
        for client, endpoint_type in list(self._wishes.items()):
            wanted = endpoint_type != NO_ENDPOINT
            if endpoint or not wanted or _does_without(client.session.lib_name):
                where = endpoint.encode() if wanted and endpoint else None
                client.push(self._push(b"MOVING", math.ceil(seconds), where))
                told.append(client)
        return told

    # -- the format

    def _next_number(self) -> None:
        # Libraries pass over numbers below one that they have seen, also from the proxy before this one.
        self.sequence = max(self.sequence + 1, int(self._clock.seconds() * 1000))

    def _push(self, name: bytes, *rest: bytes | int | None) -> bytes:
        values = (self.sequence, *rest)
        return resp.push_header(len(values) + 1, 3) + resp.bulk(name) + b"".join(map(_encode, values))


def _does_without(library: bytes) -> bool:
    """Whether a client takes "no endpoint" although it has asked for one.

    An assertion of node-redis fails then, which ends its process; of a library without a name nobody knows.
    """
    return bool(library) and not library.startswith(b"node-redis")


def _encode(value: bytes | int | None) -> bytes:
    if value is None:
        return resp.null(3)
    return resp.integer(value) if isinstance(value, int) else resp.bulk(value)
