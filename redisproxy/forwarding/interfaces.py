"""What the client side and the uplink know of each other: interfaces only, so that neither needs the other's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.forwarding.twins import Entry, Queue

Key = tuple[int, int]
"""Database and RESP version."""


class ReplySink(Protocol):
    """Whoever waits for replies on an uplink connection. Its methods must not raise."""

    def reply(self, data: bytes, done: int) -> None:
        """Take a piece of the stream: bytes of this sink's replies only, with which `done` of them became complete."""

    def lost(self) -> None:
        """The connection is gone; what was sent and not answered has an unknown outcome."""


class PinHolder(Protocol):
    """A client that has a pinned connection.

    @ivar pingable: the proxy may ask on it whether the server is there, and close it when there is no answer.
    @ivar takes_auth: the server would carry out an AUTH on it now, and neither queue nor refuse it.
    """

    @property
    def pingable(self) -> bool: ...

    @property
    def takes_auth(self) -> bool: ...

    def uplink_gone(self) -> None:
        """The pinned connection is closed."""


class Waiter(Protocol):
    """Somebody who waits until a connection takes more bytes."""

    def uplink_writable(self) -> None:
        """Called once after the connection has become writable, or has gone."""


class Pending(Protocol):
    """Replies that are waited for; C{read_time_limit_ms} applies while `timed` is true."""

    timed: bool


class Outstanding(Protocol):
    """The replies that are waited for on one connection."""

    def only_for(self, client: object) -> bool:
        """Whether no other client than `client` (the sink, or what it has as C{client}) waits."""


class BackPressure(Protocol):
    """Whether a connection takes more bytes."""

    def wait(self, waiter: Waiter) -> None:
        """Call C{waiter.uplink_writable()} once it does, or has gone."""

    def forget(self, waiter: Waiter) -> None:
        """`waiter` has gone away."""


class Connection(Protocol):
    """An uplink connection as the client side sees it; see C{uplink.UplinkConnection}."""

    db: int
    resp_version: int
    alive: bool
    retired: bool
    server_id: int | None
    holder: PinHolder | None
    reader: Callable[[bytes], None] | None
    queue: Queue

    @property
    def outstanding(self) -> Outstanding: ...

    @property
    def back_pressure(self) -> BackPressure: ...

    @property
    def ready(self) -> bool: ...

    @property
    def uplinks(self) -> Any: ...

    def submit(self, sink: ReplySink, data: bytes, count: int, timed: bool = True) -> Entry: ...

    def submit_own(self, sink: ReplySink, data: bytes, count: int) -> None: ...

    def stop_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...


class OwnCommands(Protocol):
    """Sends commands of the proxy's own; see C{uplink.own_commands}."""

    def run(self, *command: bytes | str | int, on_reply: Callable[[object], None] | None = None) -> Deferred[None]: ...


class Uplinks(Protocol):
    """The set of connections to one Redis server; see C{uplink.UplinkSet}."""

    @property
    def own_commands(self) -> OwnCommands: ...

    @property
    def server(self) -> dict[bytes, object]: ...

    def shared(self, key: Key) -> Any: ...

    def acquire_shared(self, key: Key) -> Deferred[Any]: ...

    def acquire_pinned(self, key: Key) -> Deferred[Any]: ...

    def acquire_dedicated(self, key: Key) -> Deferred[Any]: ...

    def give_back(self, connection: Any) -> None: ...

    def retire(self, connection: Any) -> None: ...

    @property
    def crowded(self) -> bool: ...

    @property
    def short(self) -> bool: ...

    def urgent(self, data: bytes, resp_version: int) -> Deferred[bytes]: ...
