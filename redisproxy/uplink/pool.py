"""The set of connections to one Redis server: shared ones and pinned ones, opened when wanted, with backoff."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.errors import (
    DatabaseRefused,
    UplinkError,
    UplinkMoved,
    UplinkUnavailable,
)
from redisproxy.resp import RespError, encode_command
from redisproxy.sinks import Collector
from redisproxy.together import together
from redisproxy.uplink.connection import UplinkConnection, client_of
from redisproxy.uplink.login import Credentials, Login, hello_fields
from redisproxy.uplink.waitlist import Key, Waitlist, Want

if TYPE_CHECKING:
    from redisproxy.gate import Gate
    from redisproxy.metrics import Metrics

Connect = Callable[[Callable[[], IProtocol]], "Deferred[IProtocol]"]

MAX_OPENING = 64
AHEAD_AT_ONCE = 8
IDLE_PINNED = 64
IDLE_S = 60.0
FULL_TOLD_S = 60.0


@dataclass(frozen=True)
class UplinkLimits:
    """What bounds a set; times in seconds. With C{ping_interval_s} 0 there are no pings."""

    connect_timeout_s: float = 5.0
    wait_limit_s: float = 10.0
    backoff_min_s: float = 0.05
    backoff_max_s: float = 2.0
    max_pinned: int = 10000
    ping_interval_s: float = 0.0
    ping_timeout_s: float = 5.0


@dataclass
class _Link:
    """What is known of the way to the server."""

    failures: int = 0
    last_error: str = ""
    retry: IDelayedCall | None = None
    server: dict[bytes, object] = field(default_factory=dict)


class UplinkSet:
    """All connections to one Redis server.

    @param connect: opens one transport for the protocol that the given callable makes.
    @param end_of_turn: see C{net.Network}.
    @param jitter: a number between two others; what is waited before the next attempt to connect is multiplied with it.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(
        self,
        connect: Connect,
        credentials: Credentials,
        limits: UplinkLimits,
        clock: IReactorTime,
        end_of_turn: Callable[[Callable[[], None]], None],
        gate: Gate,
        metrics: Metrics,
        name: str = "uplink",
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.gate = gate
        self.metrics = metrics
        self.end_of_turn = end_of_turn
        self.limits = limits
        self.name = name
        self.closed = False
        self._jitter = jitter
        self._connect = connect
        self._credentials = credentials
        self.clock = clock
        self._shared: dict[Key, UplinkConnection] = {}
        self._idle: list[UplinkConnection] = []
        self._connections: dict[UplinkConnection, None] = {}
        self._opening: dict[UplinkConnection, tuple[Key, bool]] = {}
        self._attempts: dict[Deferred[IProtocol], None] = {}
        self._login_timeouts: dict[UplinkConnection, IDelayedCall] = {}
        self._waiting = Waitlist(clock, limits.wait_limit_s, self._cause)
        self._pinned: set[UplinkConnection] = set()
        self._link = _Link()
        self._impatient = False
        self._full_told_at = -FULL_TOLD_S

    # -- what the command path asks

    def shared(self, key: Key) -> UplinkConnection | None:
        """The shared connection for `key` if it takes commands right now."""
        connection = self._shared.get(key)
        return connection if connection is not None and connection.ready else None

    def acquire_shared(self, key: Key) -> Deferred[UplinkConnection]:
        """Fire with the shared connection for `key` once there is one.

        Fails with L{DatabaseRefused}, L{UplinkUnavailable} after the wait limit, L{UplinkMoved}. Can be cancelled.
        """
        return self._want(key, pinned=False)

    def acquire_pinned(self, key: Key) -> Deferred[UplinkConnection]:
        """Fire with a connection of the caller's own, set to `key`; it sets C{holder} and gives it back.

        Fails and can be cancelled like L{acquire_shared}.
        """
        return self._want(key, pinned=True)

    def give_back(self, connection: UplinkConnection) -> None:
        """Take back a pinned connection that holds no state; one with replies outstanding is closed."""
        connection.holder = None
        if not connection.alive:
            return
        if self.closed or connection.busy or len(self._idle) >= IDLE_PINNED:
            connection.abort() if connection.busy else connection.close()
            return
        connection.last_used = self.clock.seconds()
        self._idle.append(connection)
        if self._waiting:
            self.end_of_turn(self._serve)

    def retire(self, connection: UplinkConnection) -> None:
        """Send nothing new on a shared connection; what is in flight there is still answered, then it is closed."""
        self._unshare(connection)
        connection.retire()

    def _unshare(self, connection: UplinkConnection) -> None:
        for key, shared in list(self._shared.items()):
            if shared is connection:
                del self._shared[key]

    def run(self, *command: bytes | str | int, on_reply: Callable[[object], None] | None = None) -> None:
        """Send a command of the proxy's own as soon as there is a connection.

        @param on_reply: called with the parsed reply; not at all when there is none.
        """

        def answered(replies: list[object] | None) -> None:
            if replies is not None and on_reply is not None:
                on_reply(replies[0])

        def send(connection: UplinkConnection) -> None:
            connection.submit_own(Collector(1, answered), encode_command(*command), 1)

        self.acquire_shared((0, 2)).addCallbacks(send, lambda _: None)

    def ask(self, *command: bytes | str | int) -> Deferred[object]:
        """Like L{run}; fires with the parsed reply. Fails as L{acquire_shared} does, or when the connection is lost."""
        asked: Deferred[object] = Deferred()

        def answered(replies: list[object] | None) -> None:
            if replies is None:
                asked.errback(Failure(UplinkUnavailable("the connection to the uplink was lost")))
            else:
                asked.callback(replies[0])

        def send(connection: UplinkConnection) -> Deferred[object]:
            connection.submit_own(Collector(1, answered), encode_command(*command), 1)
            return asked

        return self.acquire_shared((0, 2)).addCallback(send)

    async def ask_role(self) -> None:
        """Have L{server} tell of a promotion since the connections were made.

        @raise UplinkUnavailable: there is no answer.
        """
        if self.server.get(b"role") == b"master" or not self.server:
            return
        try:
            answer = await self.ask("HELLO").addTimeout(self.limits.connect_timeout_s, self.clock)
        except TimeoutError:
            raise UplinkUnavailable("the server does not answer") from None
        self._link.server = hello_fields(answer) or self.server

    def connect_ahead(self) -> None:
        """See to it that there is a connection, or that one is being tried, before somebody needs it."""
        if not self._waiting and not self._opening:
            self.acquire_shared((0, 2)).addErrback(lambda _: None)

    def connect_now(self, key: Key) -> Deferred[UplinkConnection]:
        """Like L{acquire_shared}, but the first failure is the answer."""
        self._impatient = True
        return self.acquire_shared(key)

    async def open_ahead(self, keys: list[Key]) -> None:
        """Have pinned connections at hand before their clients come, one for each of `keys`, or as many as can be had.

        A few at a time, so that clients at work hardly notice.
        """
        ahead: list[UplinkConnection] = []
        keys = keys[: max(0, self.limits.max_pinned - len(self._pinned))]
        for at in range(0, len(keys), AHEAD_AT_ONCE):
            wanted = [self.acquire_pinned(key) for key in keys[at : at + AHEAD_AT_ONCE]]
            results = await together(wanted)
            ahead.extend(connection for good, connection in results if good)
            if not all(good for good, _ in results):
                break
        for connection in (each for each in ahead if each.alive):
            connection.last_used = self.clock.seconds()
            self._idle.append(connection)

    # -- serving who waits

    def _want(self, key: Key, pinned: bool) -> Deferred[UplinkConnection]:
        if self.closed:
            return fail(UplinkMoved("this uplink has been left"))
        want = self._waiting.add(key, pinned)
        self._serve()
        return want.answer

    def _cause(self) -> str:
        if self._link.last_error:
            return self._link.last_error
        return self._all_taken if self._full else "no connection became free in time"

    @property
    def _full(self) -> bool:
        return len(self._pinned) >= self.limits.max_pinned

    @property
    def _all_taken(self) -> str:
        return f"all {self.limits.max_pinned} connections for single clients are taken (uplink.max_pinned)"

    def _tell_full(self) -> None:
        now = self.clock.seconds()
        if self._full and now - self._full_told_at >= FULL_TOLD_S:
            self._full_told_at = now
            self.log.warn("{name}: {why}, and further ones wait", name=self.name, why=self._all_taken)

    def _serve(self) -> None:
        for key in self._waiting.shared_keys():
            self._serve_shared(key)
        while self._idle:
            want = self._waiting.first_pinned()
            if want is None:
                break
            self._serve_pinned(want)
        self._open_missing()

    def _serve_shared(self, key: Key) -> None:
        for want in self._waiting.all_shared(key):
            connection = self._shared.get(key)
            if connection is not None and self._waiting.take(want):
                want.answer.callback(connection)

    def _serve_pinned(self, want: Want) -> None:
        connection = self._take_idle(want.key)
        if not connection.alive:
            return
        if (connection.db, connection.resp_version) != want.key:
            self._waiting.set_aside(want)
            self._adjust(connection, want)
        elif self._waiting.take(want):
            want.answer.callback(connection)

    def _take_idle(self, key: Key) -> UplinkConnection:
        for position, connection in enumerate(self._idle):
            if (connection.db, connection.resp_version) == key:
                return self._idle.pop(position)
        return self._idle.pop()

    def _adjust(self, connection: UplinkConnection, want: Want) -> None:
        db, version = want.key
        commands = [("SELECT", str(db))]
        if version != connection.resp_version:
            commands.insert(0, ("HELLO", str(version)))
        data = b"".join(encode_command(*command) for command in commands)

        def answered(replies: list[object] | None) -> None:
            self._adjusted(connection, want, replies)

        connection.submit_own(Collector(len(commands), answered), data, len(commands))

    def _adjusted(self, connection: UplinkConnection, want: Want, replies: list[object] | None) -> None:
        if replies is None:
            self._waiting.put_back(want)
            if not self.closed:
                self.end_of_turn(self._serve)
        elif not self._waiting.take(want):
            connection.abort()
        elif isinstance(replies[-1], RespError):
            connection.abort()
            want.answer.errback(Failure(DatabaseRefused(replies[-1].text)))
        elif isinstance(replies[0], RespError):
            connection.abort()
            want.answer.errback(Failure(UplinkUnavailable(replies[0].text)))
        else:
            connection.db, connection.resp_version = want.key
            want.answer.callback(connection)

    # -- opening

    def _open_missing(self) -> None:
        if self.closed or self._link.retry is not None:
            return
        for key in self._waiting.shared_keys():
            if (key, False) not in self._opening.values():
                self._open(key, pinned=False)
        wanted = self._waiting.pinned_count
        if wanted:
            busy = sum(1 for _, pinned in self._opening.values() if pinned)
            room = min(MAX_OPENING - busy, self.limits.max_pinned - len(self._pinned))
            self._tell_full()
            for key in self._waiting.pinned_keys(busy, busy + max(0, room)):
                self._open(key, pinned=True)

    def _open(self, key: Key, pinned: bool) -> None:
        connection = UplinkConnection(self, *key)
        self._opening[connection] = (key, pinned)
        if pinned:
            self._pinned.add(connection)
        attempt = self._connect(lambda: connection)
        self._attempts[attempt] = None
        attempt.addCallbacks(lambda _: None, self._connect_failed, errbackArgs=(connection,))
        attempt.addBoth(lambda _: self._attempts.pop(attempt, None))

    def _connect_failed(self, failure: Failure, connection: UplinkConnection) -> None:
        self._pinned.discard(connection)
        self._failed(connection, failure.getErrorMessage() or "the connection failed")

    def connection_made(self, connection: UplinkConnection) -> None:
        """Part of L{connection.Owner}."""
        if connection not in self._opening:
            connection.abort()
            return
        self._connections[connection] = None
        self.metrics.uplink_connections_total += 1
        self.metrics.uplink_connections_open += 1
        self._login_timeouts[connection] = self.clock.callLater(self.limits.connect_timeout_s, connection.abort)

        def done(error: UplinkError | None, server: dict[bytes, object]) -> None:
            self._logged_in(connection, error, server)

        Login(connection, self._credentials, done).start()

    def _logged_in(self, connection: UplinkConnection, error: UplinkError | None, server: dict[bytes, object]) -> None:
        self._stop_login_timeout(connection)
        if connection not in self._opening:
            return
        if error is not None:
            self._login_refused(connection, error)
            return
        key, pinned = self._opening.pop(connection)
        server_id = server.get(b"id")
        connection.logged_in(server_id if isinstance(server_id, int) else None)
        self._link_is_up(server)
        if pinned:
            self._idle.append(connection)
        else:
            self._shared[key] = connection
        self._serve()

    def _link_is_up(self, server: dict[bytes, object]) -> None:
        link = self._link
        self._impatient = False
        if len(self._connections) == 1:
            self.log.info("{name}: connected", name=self.name)
        if link.retry is not None:
            link.retry.cancel()
        self._link = _Link(server=server or link.server)

    def _login_refused(self, connection: UplinkConnection, error: UplinkError) -> None:
        if not isinstance(error, DatabaseRefused):
            self._failed(connection, str(error))
            connection.abort()
            return
        key, pinned = self._opening.pop(connection)
        connection.abort()
        self._waiting.refuse_key(key, pinned, error)

    def _failed(self, connection: UplinkConnection, message: str) -> None:
        if self._opening.pop(connection, None) is None or self.closed:
            return
        self.metrics.uplink_failures_total += 1
        link = self._link
        if message != link.last_error:
            self.log.warn("{name}: {message}", name=self.name, message=message)
        link.last_error = message
        if self._impatient:
            self._waiting.refuse_all(UplinkUnavailable(message))
        if link.retry is None:
            delay = min(self.limits.backoff_max_s, self.limits.backoff_min_s * 2 ** min(link.failures, 16))
            link.failures += 1
            link.retry = self.clock.callLater(delay * self._jitter(0.5, 1.0), self._retry)

    def _retry(self) -> None:
        self._link.retry = None
        self._serve()

    def _stop_login_timeout(self, connection: UplinkConnection) -> None:
        timeout = self._login_timeouts.pop(connection, None)
        if timeout is not None and timeout.active():
            timeout.cancel()

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """Part of L{connection.Owner}."""
        self._stop_login_timeout(connection)
        if connection in self._connections:
            del self._connections[connection]
            if not self._connections and not self.closed:
                self.log.warn("{name}: lost ({why})", name=self.name, why=reason.getErrorMessage())
            self.metrics.uplink_connections_open -= 1
        self._failed(connection, "the connection was closed while logging in")
        self._pinned.discard(connection)
        self._unshare(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting and not self.closed:
            self.end_of_turn(self._serve)

    # -- supervision

    def tick(self, now: float) -> None:
        """Close what has been idle too long; to be called about once a second."""
        for connection in [each for each in self._idle if now - each.last_used > IDLE_S]:
            self._idle.remove(connection)
            connection.close()
        if self.limits.ping_interval_s:
            self._ping(now)

    def _ping(self, now: float) -> None:
        """Find connections whose other end has gone without a word, or hangs."""
        for connection in list(self._connections):
            if connection.unanswered(now) > self.limits.ping_timeout_s:
                self._link.last_error = "the server does not answer PING"
                self.log.warn("{name}: {error}; reconnecting", name=self.name, error=self._link.last_error)
                connection.abort()
            elif connection.alive and connection.holder is None and not connection.busy:
                if connection.last_pinged == 0.0:
                    connection.last_pinged = now
                elif now - connection.last_pinged >= self.limits.ping_interval_s:
                    connection.last_pinged = now
                    connection.ping(now)

    def overdue(self, now: float, limit_s: float) -> Iterator[tuple[UplinkConnection, object]]:
        """Connections whose first command in the queue takes longer than `limit_s`, with the client behind it."""
        for connection in list(self._connections):
            sink = connection.overdue(now, limit_s)
            if sink is not None:
                yield connection, client_of(sink)

    def clients_in_flight(self) -> list[object]:
        """The clients that wait for replies, each once."""
        clients: dict[object, None] = {}
        for connection in self._connections:
            clients.update((client_of(entry.sink), None) for entry in connection.queue.entries() if entry.counted)
        return list(clients)

    def drop_in_flight(self) -> list[object]:
        """Close every connection that has commands of clients in flight; answer these clients, each once."""
        clients = self.clients_in_flight()
        for connection in list(self._connections):
            if connection.in_flight:
                connection.abort()
        return clients

    def close(self) -> None:
        """Leave this server: refuse what waits, close every connection (what is in flight is lost), open no more."""
        self.closed = True
        if self._link.retry is not None:
            self._link.retry.cancel()
            self._link.retry = None
        self._waiting.refuse_all(UplinkMoved("this uplink has been left"))
        self._opening.clear()
        for attempt in list(self._attempts):
            attempt.cancel()
        for connection in list(self._connections):
            connection.abort() if connection.busy else connection.close()

    # -- what the pages show

    @property
    def connected(self) -> bool:
        """Whether at least one connection is logged in."""
        return any(connection.alive for connection in self._connections)

    @property
    def connection_count(self) -> int:
        """Open connections, logged in or not."""
        return len(self._connections)

    @property
    def shared_count(self) -> int:
        """Shared connections that take commands."""
        return len(self._shared)

    @property
    def pinned_count(self) -> int:
        """Connections that are not shared: held by a client, idle, or being opened for one."""
        return len(self._pinned)

    @property
    def last_error(self) -> str:
        """Why the last attempt to connect failed; empty since one succeeded."""
        return self._link.last_error

    @property
    def server(self) -> dict[bytes, object]:
        """The server's answer to HELLO; empty before the first login and with servers that do not know HELLO."""
        return self._link.server
