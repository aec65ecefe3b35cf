"""Every client that is connected, by the id that it sees, and what CLIENT LIST and CLIENT KILL make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol
    from redisproxy.figures.metrics import Metrics


class ClientRegistry:
    """The clients, in order of their ids. Ids start at 1, grow, and are never used again."""

    def __init__(self, metrics: Metrics, max_clients: int) -> None:
        self.max_clients = max_clients
        self._metrics = metrics
        self._clients: dict[int, ClientProtocol] = {}
        self._last_id = 0
        self._reserved: set[int] = set()
        self._in_order = True

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[ClientProtocol]:
        if not self._in_order:
            self._clients = dict(sorted(self._clients.items()))
            self._in_order = True
        return iter(list(self._clients.values()))

    @property
    def full(self) -> bool:
        """Whether one more client would be too many."""
        return len(self._clients) >= self.max_clients

    def add(self, client: ClientProtocol) -> None:
        """Give `client` its id."""
        self._last_id += 1
        client.id = self._last_id
        self._clients[client.id] = client
        self._metrics.clients_total += 1
        self._metrics.clients_open += 1

    def reserve(self, client_id: int) -> bool:
        """Give this id to nobody else: whoever has it comes from another process. False when somebody has it here."""
        if client_id in self._clients or client_id in self._reserved:
            return False
        self._reserved.add(client_id)
        self._last_id = max(self._last_id, client_id)
        return True

    def unreserve(self, client_id: int) -> None:
        """Whoever has this id does not come."""
        self._reserved.discard(client_id)

    def take_in(self, client: ClientProtocol) -> None:
        """Add a client that has its id already; see L{reserve}."""
        self._reserved.discard(client.id)
        self._in_order = self._in_order and client.id > next(reversed(self._clients), 0)
        self._clients[client.id] = client
        self._metrics.clients_open += 1

    def remove(self, client: ClientProtocol) -> None:
        """`client` has disconnected; one that was never added, or has been removed, is ignored."""
        if self._clients.pop(client.id, None) is not None:
            self._metrics.clients_open -= 1

    def get(self, client_id: int) -> ClientProtocol | None:
        """The client with this id."""
        return self._clients.get(client_id)

    def matching(self, *tests: Callable[[ClientProtocol], bool]) -> list[ClientProtocol]:
        """The clients that pass every one of `tests`."""
        return [client for client in self if all(test(client) for test in tests)]


def address(peer: object) -> str:
    """An address in Redis's form: C{127.0.0.1:1234}, C{[::1]:1234}, C{/path:0} for a unix socket."""
    host = getattr(peer, "host", None)
    if host is not None:
        port = getattr(peer, "port", 0)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name = getattr(peer, "name", None) or b""
    return f"{name.decode('utf-8', 'replace') if isinstance(name, bytes) else name}:0"


def info_line(client: ClientProtocol, now: float) -> bytes:
    """One client as CLIENT LIST and CLIENT INFO show it (https://redis.io/docs/latest/commands/client-list/).

    Fields that describe the inside of a Redis server are zero.
    """
    session = client.session
    transaction = session.transaction
    seen = now if client.active else client.last_seen
    tracking = session.tracking
    flags = "".join(
        letter
        for letter, set_ in (
            (client.subscription.FLAG if client.subscription is not None else "", session.subscribed),
            ("x", transaction is not None),
            ("b", client.blocking is not None),
            ("t", tracking is not None),
            ("B", tracking is not None and tracking.broadcast),
        )
        if set_
    )
    channels, patterns, shards = _subscriptions(client)
    text = (
        f"id={client.id} addr={client.address} laddr={client.local_address} fd=0"
        f" name={session.name.decode('latin-1')} age={int(now - client.created)} idle={int(now - seen)}"
        f" flags={flags or 'N'} db={session.db} sub={channels} psub={patterns} ssub={shards}"
        f" multi={-1 if transaction is None else transaction.count} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0"
        f" rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r"
        f" cmd={client.last_command.decode('latin-1') or 'NULL'}"
        f" user={(session.user or b'(superuser)').decode('latin-1')} redir={-1 if tracking is None else 0}"
        f" resp={session.resp_version}"
        f" lib-name={session.lib_name.decode('latin-1')} lib-ver={session.lib_version.decode('latin-1')}"
    )
    return text.encode("latin-1") + b"\n"


def _subscriptions(client: ClientProtocol) -> tuple[int, int, int]:
    if client.subscription is None:
        return 0, 0, 0
    names = client.subscription.names
    return len(names[b""]), len(names[b"p"]), len(names[b"s"])
