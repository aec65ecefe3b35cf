"""The set of connections to one Redis server: shared ones and pinned ones, opened when wanted, with backoff."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, TimeoutError, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.deferreds import together
from redisproxy.net.errors import DatabaseRefused, ServerBusy, UplinkMoved, UplinkUnavailable
from redisproxy.uplink.asking import PLAIN, Asking
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.desk import MOST_SPARE, Desk
from redisproxy.uplink.limits import UplinkLimits
from redisproxy.uplink.login import Credentials, hello_fields
from redisproxy.uplink.opening import Connect, Opener
from redisproxy.uplink.relief import LAG_S, Relief
from redisproxy.uplink.roster import Roster
from redisproxy.uplink.urgent import UrgentLine
from redisproxy.uplink.waitlist import Key, Waitlist

if TYPE_CHECKING:
    from redisproxy.figures.metrics import Metrics
    from redisproxy.forwarding.gate import Gate

MAX_OPENING = 64
AHEAD_AT_ONCE = 8
FULL_TOLD_S = 60.0


class UplinkSet(Asking):
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
        self._urgent = UrgentLine(self, connect, credentials)
        self._opener = Opener(self, connect, credentials, jitter)
        self._waiting = Waitlist(clock, limits.wait_limit_s, self._cause)
        self._desk = Desk(self._waiting, self._serve_soon)
        self._pinned: set[UplinkConnection] = set()
        self._impatient = False
        self._full_told_at = -FULL_TOLD_S

    # -- what the command path asks

    def shared(self, key: Key) -> UplinkConnection | None:
        """The shared connection for `key` if it takes commands right now."""
        connection = self._desk.shared.get(key)
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

    def acquire_dedicated(self, key: Key) -> Deferred[UplinkConnection]:
        """Like L{acquire_pinned}, for a caller that can do without: it fails as soon as there is none to be had."""
        return self._want(key, pinned=True, patient=False)

    def give_back(self, connection: UplinkConnection) -> None:
        """Take back a pinned connection that holds no state; one with replies outstanding is closed."""
        connection.holder = None
        if not connection.alive:
            return
        if self.closed or connection.busy or len(self._desk.spare) >= MOST_SPARE:
            connection.abort() if connection.busy else connection.close()
            return
        self._desk.keep(connection, self.clock.seconds())
        if self._waiting:
            self.end_of_turn(self._serve)

    def retire(self, connection: UplinkConnection) -> None:
        """Send nothing new on a shared connection; what is in flight there is still answered, then it is closed."""
        self._desk.unshare(connection)
        connection.retire()

    def urgent(self, data: bytes, resp_version: int) -> Deferred[bytes]:
        """Send one command on a connection made for it, whatever others wait for; fire with the reply as it came.

        Fails with L{UplinkError}.
        """
        if self.closed:
            return fail(UplinkMoved("this uplink has been left"))
        return self._urgent.send(data, resp_version)

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
            self.acquire_shared(PLAIN).addErrback(lambda _: None)

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
            self._desk.keep(connection, self.clock.seconds())

    # -- serving who waits

    def _want(self, key: Key, pinned: bool, patient: bool = True) -> Deferred[UplinkConnection]:
        if self.closed:
            return fail(UplinkMoved("this uplink has been left"))
        want = self._waiting.add(key, pinned, patient)
        self._serve()
        self._refuse_impatient()
        return want.answer

    def _cause(self) -> str:
        if self.last_error:
            return self.last_error
        return self.all_taken if self.full else "no connection became free in time"

    @property
    def shared_connections(self) -> dict[Key, UplinkConnection]:
        """Part of L{relief.Owner}."""
        return self._desk.shared

    def replace(self, key: Key) -> None:
        """Part of L{relief.Owner}."""
        if self._opener.may_open and not self._opener.opens_shared(key):
            self._opener.open(key, pinned=False)

    @property
    def full(self) -> bool:
        """Whether there are as many connections for single clients as there may be."""
        return len(self._pinned) >= self.limits.max_pinned

    @property
    def crowded(self) -> bool:
        """Whether with one more, over half of the connections that there may be for single clients would be in use: the
        rest is for those who can't do without one."""
        return (len(self._pinned) - len(self._desk.spare) + 1) * 2 > self.limits.max_pinned

    @property
    def short(self) -> bool:
        """Whether there are no more connections for single clients to be had now."""
        return not self._desk.spare and (self.full or not self._opener.may_open)

    def _refuse_impatient(self) -> None:
        if self.short:
            self._waiting.refuse_impatient(self._opener.pinned_count, UplinkUnavailable(self._cause()))

    @property
    def exhausted(self) -> bool:
        """Whether who wants one has to wait until somebody gives his back."""
        return self.full and not self._desk.spare

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
        self._desk.serve()
        self._open_missing()

    def _serve_soon(self) -> None:
        if not self.closed:
            self.end_of_turn(self._serve)

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
            self.metrics.uplink.connections_total += 1
            self.metrics.uplink.connections_open += 1
            self._opener.log_in(connection)
        else:
            connection.abort()

    def opened(self, connection: UplinkConnection, key: Key, pinned: bool) -> None:
        """Part of L{opening.Owner}."""
        self._impatient = False
        if len(self.roster) == 1:
            self.log.info("{name}: connected", name=self.name)
        if pinned:
            self._desk.keep(connection, self.clock.seconds())
        else:
            self._share(key, connection)
        self._serve()

    def _share(self, key: Key, connection: UplinkConnection) -> None:
        before = self._desk.shared.get(key)
        if before is not None and before.ready and before.lag(self.clock.seconds()) < LAG_S:
            connection.close()  # it was to replace one that is fast again
            return
        self._desk.shared[key] = connection
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
        self.metrics.uplink.failures_total += 1
        if self._impatient:
            self._waiting.refuse_all(UplinkUnavailable(why))
        self._refuse_impatient()

    def try_again(self) -> None:
        """Part of L{opening.Owner}."""
        self._serve()

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """Part of L{connection.Owner}."""
        if self.roster.remove(connection):
            if not self.roster and not self.closed:
                self.log.warn("{name}: lost ({why})", name=self.name, why=reason.getErrorMessage())
            self.metrics.uplink.connections_open -= 1
        self._opener.lost(connection)
        self._pinned.discard(connection)
        self._desk.lost(connection)
        if self._waiting:
            self._serve_soon()

    # -- supervision

    def tick(self, now: float) -> None:
        """Close what has been idle too long, or hangs; to be called about once a second."""
        self._desk.close_unused(now)
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
        self._urgent.close()
        for connection in self.roster:
            connection.abort() if connection.busy else connection.close()

    def stop(self) -> None:
        """Close, and do not even wait for what L{urgent} has sent."""
        self.close()
        self._urgent.stop()

    @property
    def quiet(self) -> bool:
        """Whether there is nothing left that L{stop} would end after L{close}."""
        return not self._urgent

    # -- what the pages show

    @property
    def shared_count(self) -> int:
        """Shared connections that take commands."""
        return len(self._desk.shared)

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
