"""The set of connections to one Redis server: shared ones and pinned ones, opened when wanted, with backoff."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.errors import DatabaseRefused, ServerBusy, UplinkMoved, UplinkUnavailable, is_busy
from redisproxy.resp import RespError, encode_command
from redisproxy.sinks import Collector
from redisproxy.together import together
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.limits import UplinkLimits
from redisproxy.uplink.login import Credentials, hello_fields
from redisproxy.uplink.opening import Connect, Opener
from redisproxy.uplink.relief import LAG_S, Relief
from redisproxy.uplink.roster import Roster
from redisproxy.uplink.urgent import Urgent
from redisproxy.uplink.waitlist import Key, Waitlist, Want

if TYPE_CHECKING:
    from redisproxy.gate import Gate
    from redisproxy.metrics import Metrics

MAX_OPENING = 64
AHEAD_AT_ONCE = 8
IDLE_PINNED = 64
IDLE_S = 60.0
FULL_TOLD_S = 60.0


class UplinkSet:
    """All connections to one Redis server.

    @param connect, jitter: see L{Opener}.
    @param end_of_turn: see C{net.Network}.
    @ivar roster: the connections that are open.
    @ivar relief: sees that nobody waits behind another client for long.
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
        self.clock = clock
        self.roster = Roster()
        self.relief = Relief(self)
        self._connect = connect
        self._credentials = credentials
        self._urgent: dict[Urgent, None] = {}
        self._opener = Opener(self, connect, credentials, jitter)
        self._shared: dict[Key, UplinkConnection] = {}
        self._idle: list[UplinkConnection] = []
        self._waiting = Waitlist(clock, limits.wait_limit_s, self._cause)
        self._pinned: set[UplinkConnection] = set()
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

    def run(self, *command: bytes | str | int, on_reply: Callable[[object], None] | None = None) -> Deferred[None]:
        """Send a command of the proxy's own as soon as there is a connection; fire when it was sent, or given up.

        @param on_reply: called with the parsed reply; not at all when there is none.
        """

        def answered(replies: list[object] | None) -> None:
            if replies is not None and on_reply is not None:
                on_reply(replies[0])

        def send(connection: UplinkConnection) -> None:
            connection.submit_own(Collector(1, answered), encode_command(*command), 1)

        return self.acquire_shared((0, 2)).addCallbacks(send, lambda _: None)

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

    def urgent(self, data: bytes, resp_version: int) -> Deferred[bytes]:
        """Send one command on a connection made for it, whatever others wait for; fire with the reply as it came.

        Fails with L{UplinkError}.
        """
        if self.closed:
            return fail(UplinkMoved("this uplink has been left"))
        urgent = Urgent(
            data,
            resp_version,
            self._connect,
            self._credentials,
            self.clock,
            self.end_of_turn,
            self.gate,
            self.metrics,
        )
        self._urgent[urgent] = None
        return urgent.answer.addBoth(self._urgent_ended, urgent)

    def _urgent_ended(self, result: bytes | Failure, urgent: Urgent) -> bytes | Failure:
        self._urgent.pop(urgent, None)
        return result

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
        self._opener.server = hello_fields(answer) or self.server

    def connect_ahead(self) -> None:
        """See to it that there is a connection, or that one is being tried, before somebody needs it."""
        if not self._waiting and not self._opener:
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
        if self.last_error:
            return self.last_error
        return self.all_taken if self.full else "no connection became free in time"

    @property
    def shared_connections(self) -> dict[Key, UplinkConnection]:
        """Part of L{relief.Owner}."""
        return self._shared

    def replace(self, key: Key) -> None:
        """Part of L{relief.Owner}."""
        if self._opener.may_open and not self._opener.opens_shared(key):
            self._opener.open(key, pinned=False)

    @property
    def full(self) -> bool:
        """Whether there may be no more connections for single clients."""
        return len(self._pinned) >= self.limits.max_pinned

    @property
    def exhausted(self) -> bool:
        """Whether who wants one has to wait until somebody gives his back."""
        return self.full and not self._idle

    @property
    def all_taken(self) -> str:
        """What to say then."""
        return f"all {self.limits.max_pinned} connections for single clients are taken (uplink.max_pinned)"

    def _tell_full(self) -> None:
        now = self.clock.seconds()
        if self.full and now - self._full_told_at >= FULL_TOLD_S:
            self._full_told_at = now
            self.log.warn("{name}: {why}, and further ones wait", name=self.name, why=self.all_taken)

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
            kind = ServerBusy if is_busy(replies[-1].text) else DatabaseRefused
            want.answer.errback(Failure(kind(replies[-1].text)))
        elif isinstance(replies[0], RespError):
            connection.abort()
            want.answer.errback(Failure(UplinkUnavailable(replies[0].text)))
        else:
            connection.db, connection.resp_version = want.key
            want.answer.callback(connection)

    # -- opening

    def _open_missing(self) -> None:
        opener = self._opener
        if not opener.may_open:
            return
        for key in self._waiting.shared_keys():
            if not opener.opens_shared(key):
                opener.open(key, pinned=False)
        if self._waiting.pinned_count:
            busy = opener.pinned_count
            room = min(MAX_OPENING - busy, self.limits.max_pinned - len(self._pinned))
            self._tell_full()
            for key in self._waiting.pinned_keys(busy, busy + max(0, room)):
                opener.open(key, pinned=True)

    def opening(self, connection: UplinkConnection, pinned: bool) -> None:
        """Part of L{opening.Owner}."""
        if pinned:
            self._pinned.add(connection)

    def connection_made(self, connection: UplinkConnection) -> None:
        """Part of L{connection.Owner}."""
        if self._opener.is_wanted(connection):
            self.roster.add(connection)
            self.metrics.uplink_connections_total += 1
            self.metrics.uplink_connections_open += 1
            self._opener.log_in(connection)
        else:
            connection.abort()

    def opened(self, connection: UplinkConnection, key: Key, pinned: bool) -> None:
        """Part of L{opening.Owner}."""
        self._impatient = False
        if len(self.roster) == 1:
            self.log.info("{name}: connected", name=self.name)
        if pinned:
            self._idle.append(connection)
        else:
            self._share(key, connection)
        self._serve()

    def _share(self, key: Key, connection: UplinkConnection) -> None:
        before = self._shared.get(key)
        if before is not None and before.ready and before.lag(self.clock.seconds()) < LAG_S:
            connection.close()  # it was to replace one that is fast again
            return
        self._shared[key] = connection
        if before is not None:
            before.retire()

    def refused(self, key: Key, pinned: bool, error: DatabaseRefused | ServerBusy) -> None:
        """Part of L{opening.Owner}."""
        self._waiting.refuse_key(key, pinned, error)

    def not_opened(self, connection: UplinkConnection) -> None:
        """Part of L{opening.Owner}."""
        self._pinned.discard(connection)

    def unreachable(self, why: str) -> None:
        """Part of L{opening.Owner}."""
        self.metrics.uplink_failures_total += 1
        if self._impatient:
            self._waiting.refuse_all(UplinkUnavailable(why))

    def try_again(self) -> None:
        """Part of L{opening.Owner}."""
        self._serve()

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """Part of L{connection.Owner}."""
        if self.roster.remove(connection):
            if not self.roster and not self.closed:
                self.log.warn("{name}: lost ({why})", name=self.name, why=reason.getErrorMessage())
            self.metrics.uplink_connections_open -= 1
        self._opener.lost(connection)
        self._pinned.discard(connection)
        self._unshare(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting and not self.closed:
            self.end_of_turn(self._serve)

    # -- supervision

    def tick(self, now: float) -> None:
        """Close what has been idle too long, or hangs; to be called about once a second."""
        for connection in [each for each in self._idle if now - each.last_used > IDLE_S]:
            self._idle.remove(connection)
            connection.close()
        if self.limits.ping_interval_s:
            for connection in self.roster.ping(now, self.limits):
                self._opener.last_error = "the server does not answer PING"
                self.log.warn("{name}: {error}; reconnecting", name=self.name, error=self.last_error)
                connection.abort()

    def close(self) -> None:
        """Leave this server: refuse what waits, close every connection (what is in flight is lost), open no more."""
        self.closed = True
        self._waiting.refuse_all(UplinkMoved("this uplink has been left"))
        self._opener.close()
        for urgent in list(self._urgent):
            urgent.give_up()
        for connection in self.roster:
            connection.abort() if connection.busy else connection.close()

    # -- what the pages show

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
        return self._opener.last_error

    @property
    def server(self) -> dict[bytes, object]:
        """The server's answer to HELLO; empty before the first login and with servers that do not know HELLO."""
        return self._opener.server
