"""Plants bugs in the proxy, to see that the simulation finds them: some made up, others once found and put back.

Each replaces something in the proxy's classes for as long as C{planted(name)} is entered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, DeferredList, succeed

from redisproxy.client import Client
from redisproxy.client.open_transaction import Transaction
from redisproxy.client.route import Route
from redisproxy.client.sending import Sender
from redisproxy.client.session import Session
from redisproxy.client.tracking_options import Tracking
from redisproxy.control.abort import Abort
from redisproxy.control.configuration import Candidate, Configuration
from redisproxy.control.exclusion import Exclusion
from redisproxy.control.left_server import LeftServer
from redisproxy.dataplane import watches
from redisproxy.dataplane.watches import Watches
from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.gate import Gate
from redisproxy.handlers import dispatch, large_commands, placeholders, script_kill, unreachable
from redisproxy.handlers.blocking import RETRY_S, Blocking
from redisproxy.handlers.forward import forward
from redisproxy.handlers.recovery import Recovery
from redisproxy.handlers.subscription import Subscription
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import BEGIN, COMMAND, RUN, RespError, error
from redisproxy.servers.redis_server import RedisServer
from redisproxy.serving.pump import Pump
from redisproxy.switchover import pause, switchover
from redisproxy.switchover.both_servers import BothServers
from redisproxy.switchover.catch_up import CatchUp
from redisproxy.switchover.pause import Pause
from redisproxy.switchover.takeover import Takeover
from redisproxy.uplink import warm_up
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.opener import ConnectionOpener
from redisproxy.uplink.wait_queue import Request, WaitQueue
from tests.simulation.mode import Mode
from tests.simulation.planted_copies import COPIES, COPY_LOSSES
from tests.simulation.planted_failovers import FAILOVERS
from tests.simulation.planted_fleets import FLEETS
from tests.simulation.planted_hooks import HOOKS
from tests.simulation.planted_losses import LOSSES
from tests.simulation.planted_processes import RESIZES, RESTARTS, UPGRADES
from tests.simulation.planted_workers import HANDOVERS, WORKERS

Patches = Iterator[Any]


def _reply_to_the_wrong_client() -> Patches:
    """The two clients that wait longest on a shared connection change places."""
    original = UplinkConnection.dataReceived

    def received(self: UplinkConnection, data: bytes) -> None:
        plain = [each for each in self.queue.entries() if each.want == 1 and each.counted]
        if len(plain) > 1 and plain[0] is self.queue.head():
            plain[0].sink, plain[1].sink = plain[1].sink, plain[0].sink
        original(self, data)

    yield patch.object(UplinkConnection, "dataReceived", received)


def _sent_again_after_reconnect() -> Patches:
    """A command whose connection was lost is sent once more instead of disconnecting its client."""
    send, lost = Sender.plain, Client.lost
    last: dict[Any, tuple[bytes, int]] = {}

    def plain(self: Sender, data: bytes, count: int) -> None:
        last[self] = (data, count)
        send(self, data, count)

    def again(self: Client) -> None:
        data, count = last.get(self.sender, (b"", 0))
        if self.lane.pending != count or self.route.pinned or self.closed:
            lost(self)
            return
        self.lane.pending = 0
        self.received.take_again((RUN, data, count))
        self.look()

    yield patch.object(Pump, "_open_lane", lambda self: None)
    yield patch.object(Sender, "plain", plain)
    yield patch.object(Client, "lost", again)


def _lost_release() -> Patches:
    """Commands whose connection is lost stay in flight for the gate."""
    original = UplinkConnection.connectionLost

    def connection_lost(self: UplinkConnection, *args: Any) -> None:
        with patch.object(Gate, "release", lambda self, count: None):
            original(self, *args)

    yield patch.object(UplinkConnection, "connectionLost", connection_lost)


def _promoted_before_catch_up() -> Patches:
    """The new server is promoted without a look at its offset."""

    async def verify(self: Takeover) -> None:
        fields = self._report.fields
        fields["new_offset"] = fields["old_offset"]

    yield patch.object(Takeover, "verify", verify)


def _no_fence() -> Patches:
    """The old server goes on accepting the writes of clients that bypass the proxy."""

    async def fence(self: Takeover, pause_ms: int) -> None:
        self._report.fields["old_offset"] = (await self._servers.at_old.state()).offset

    yield patch.object(Takeover, "fence", fence)


def _not_drained() -> Patches:
    """A switchover does not wait for what is in flight."""

    async def drain(self: Pause, gate: object) -> None:
        pass

    yield patch.object(Pause, "drain", drain)


def _watch_forgotten() -> Patches:
    """A WATCH that was lost with its connection lets EXEC through."""

    def lose_watch(self: Session) -> None:
        self.watching = False

    yield patch.object(Session, "lose_watch", lose_watch)


def _watch_always_proven() -> Patches:
    """Every WATCH is carried over to the new server, also one whose key has changed."""

    async def prove(self: Watches) -> None:
        self._proven = [client for client in self._registry if client.session.watching]

    yield patch.object(Watches, "prove", prove)


def _touched_watch_overlooked() -> Patches:
    """With a MULTI open, a WATCH is carried over although its key was touched."""
    yield patch.object(watches, "_watches_untouched", lambda listed: True)


def _popped_and_lost() -> Patches:
    """The element that a blocking pop has got at the last moment is thrown away."""
    original = Blocking.reply

    def reply(self: Blocking, data: bytes, done: int) -> None:
        original(self, b"*-1\r\n" if self.moving and done and self._left() > 0 else data, done)

    yield patch.object(Blocking, "reply", reply)


def _transaction_not_queued_again() -> Patches:
    """Of an open MULTI whose connection is lost, the last command is forgotten."""
    original = Transaction.replay

    def replay(self: Transaction) -> tuple[bytes, int]:
        if len(self._chunks) > 1:
            del self._chunks[-1]
        return original(self)[0], len(self._chunks) + 1

    yield patch.object(Transaction, "replay", replay)


def _database_forgotten() -> Patches:
    """After a switch, clients are on database 0."""
    yield patch.object(Session, "key", property(lambda self: (0, self.resp_version)))


def _held_for_ever() -> Patches:
    """A client that waits at the gate is not called when it opens."""
    original = Gate.hold

    def hold(self: Gate, holder: Any) -> None:
        original(self, holder)
        if len(self._held) > 2:
            del self._held[holder]

    yield patch.object(Gate, "hold", hold)


def _not_rolled_back() -> Patches:
    """SIGTERM in the middle of a switchover ends the process as if nothing was going on."""

    async def stop(self: Exclusion) -> None:
        pass

    yield patch.object(Exclusion, "stop", stop)


# -- what seeds have found, put back


def _blocked_after_others() -> Patches:
    """A blocking command was taken while others waited behind it, and sent again after them."""

    def take(self: Pump, unit: Any) -> bool:
        client, (kind, data, extra) = self._client, unit
        if kind == RUN:
            return forward(client, data, extra)
        if kind == COMMAND:
            return dispatch.command(client, data, extra)
        return (
            dispatch.large_command(client, data, extra) if kind == BEGIN else large_commands.go_on(client, data, True)
        )

    yield patch.object(Pump, "_take", take)


def _watch_left_behind() -> Patches:
    """A client that left its pinned connection by itself did not lose its WATCH."""

    def leave(self: Route) -> None:
        if self.pinned and self.connection is not None:
            self._close_pinned()

    yield patch.object(Route, "leave", leave)


def _half_a_transaction() -> Patches:
    """While the server could not be reached, each command of a pipeline was refused for itself, MULTI among them."""

    def answer(client: Client, unit: Any, text: str, refused: bool) -> None:
        kind, _, extra = unit
        client.output.answer(error(text) * (extra if kind == RUN else 1))
        if kind == BEGIN:
            client.received.upload.discard()

    yield patch.object(unreachable, "unreachable", answer)


def _adjustment_forgotten() -> Patches:
    """A client whose pinned connection was being set to its database in a switch was told that the server is gone."""

    def put_back(self: WaitQueue, request: Request) -> None:
        self.refuse(request, UplinkUnavailable("the connection to the uplink was lost"))

    def refuse_all(self: WaitQueue, reason: Exception) -> None:
        for request in [*self._pinned, *(each for group in self._shared.values() for each in group)]:
            self.refuse(request, reason)

    yield patch.object(WaitQueue, "put_back", put_back)
    yield patch.object(WaitQueue, "refuse_all", refuse_all)


def _cancelling_overlooked() -> Patches:
    """A reload that was cancelled while it opened connections went on as if they could not be had."""

    async def all_settled(works: Any) -> Any:
        return await DeferredList(works, consumeErrors=True)

    yield patch.object(warm_up, "all_settled", all_settled)


def _fence_left_behind() -> Patches:
    """A rollback let clients go at the end of the budget, although the fence could not be lifted in that time."""
    yield patch.object(pause, "HOLD_S", 0.0)


def _proof_given_up() -> Patches:
    """A proof that was cancelled left its client with the WATCH that it had made anew, touched or not."""

    async def prove(self: Watches, client: Client) -> None:
        by_exec = client.session.transaction is None
        proven = await (watches._proof_by_exec if by_exec else watches._proof_by_flag)(client)
        if proven and not client.closed and client.session.watching:
            self._proven.append(client)
        elif proven is False and by_exec:
            watches._lose(client)

    yield patch.object(Watches, "_prove", prove)


def _unblocked_once() -> Patches:
    """A CLIENT UNBLOCK that was lost with its connection was not sent again, and its client dropped in the end."""

    def unblock(self: Blocking) -> None:
        client, connection = self.client, self.client.route.connection
        if client.waiting.blocking is self and connection is not None and connection.server_id is not None:
            client.core.uplinks.own_commands.run("CLIENT", "UNBLOCK", connection.server_id, on_reply=self._unblocked)

    def unblocked(self: Blocking, reply: object) -> None:
        if reply == 0 and self.client.waiting.blocking is self:
            self.client.core.clock.callLater(RETRY_S, self._unblock)

    yield patch.object(Blocking, "_unblock", unblock)
    yield patch.object(Blocking, "_unblocked", unblocked)


def _queued_again_at_any_time() -> Patches:
    """A lost transaction was queued again also while the gate was closed, at a server that was fenced by then."""

    def queue(self: Recovery, transaction: Transaction, connection: Any, on_done: Callable[[], None]) -> None:
        data, count = transaction.replay()

        def answered(replies: list[object] | None) -> None:
            if replies is not None:
                transaction.lost = False
                if any(isinstance(reply, RespError) for reply in replies):
                    placeholders.give_up(self._client)
            if not self._client.closed:
                on_done()

        connection.submit_own(Collector(count, answered), data, count)

    yield patch.object(Recovery, "needed", False)
    yield patch.object(Recovery, "_queue", queue)


def _done_and_denied() -> Patches:
    """SIGTERM while a switchover tidied up after it was done: the answer was that it had been rolled back."""

    async def cut_short(work: Any) -> Any:
        return await work

    yield patch.object(switchover, "shielded", cut_short)


def _connection_left() -> Patches:
    """A rollback that tried again left the control connection that it had open."""

    async def reach_old(self: BothServers) -> RedisServer:
        self._at_old = await self._open("old", self.old)
        return self._at_old

    async def reach_new(self: BothServers) -> RedisServer:
        self._at_new = await self._open("new", self.new)
        return self._at_new

    yield patch.object(BothServers, "reach_old", reach_old)
    yield patch.object(BothServers, "reach_new", reach_new)


def _retries_when_closed() -> Patches:
    """A set of connections that was given up because of a failed attempt waited for the next one all the same."""

    def failed(self: ConnectionOpener, connection: UplinkConnection, why: str) -> None:
        if self._opening.pop(connection, None) is None or self._closed:
            return
        self.last_error = why
        self._owner.unreachable(why)
        self._backoff.failed()

    yield patch.object(ConnectionOpener, "_failed", failed)


def _unblocks_the_gone() -> Patches:
    """The CLIENT UNBLOCK for a client that was answered, or gone, was still to be sent again."""
    yield patch.object(Blocking, "_stop_timer", lambda self: None)


def _cache_not_emptied() -> Patches:
    """A client with a cache moved to another server, and was not told to forget what it had cached."""

    def take_over(self: Subscription) -> None:
        self._in_use = True

    yield patch.object(Subscription, "take_over", take_over)


def _tracked_no_more() -> Patches:
    """A client with a cache moved, and nobody asked the new server to track it."""

    async def track(self: Subscription) -> None:
        pass

    yield patch.object(Subscription, "_track", track)


def _not_tracked_again() -> Patches:
    """A client with a cache whose connection was lost went on with a new one without tracking."""

    def track(self: Recovery, tracking: Tracking, connection: Any, on_done: Callable[[], None]) -> None:
        tracking.lost = False

    yield patch.object(Recovery, "_track", track)


def _kill_waits_at_the_gate() -> Patches:
    """SCRIPT KILL waits until the gate opens, and the gate for the script."""
    yield patch.object(script_kill, "comes_next", lambda client: False)


def _aborted_before_it_is_undone() -> Patches:
    """That a switchover is aborted is answered before anything is undone."""
    original = Abort.order

    def order(self: Abort) -> Deferred[Any]:
        report = self._switchover.report if self._switchover is not None else {}
        return original(self) if not report else succeed({"state": "aborted", "report": report})

    yield patch.object(Abort, "order", order)


def _file_leads_back() -> Patches:
    """After going back a reload takes the file as it is, with the server that was left."""

    async def refuse(self: LeftServer, candidate: Candidate) -> None:
        """It may be the one that was left."""

    yield patch.object(Configuration, "_refuse_what_was_left", lambda self, settings: None)
    yield patch.object(LeftServer, "refuse", refuse)


def _back_without_the_data() -> Patches:
    """Going back takes the server before as it is, without what was written since."""
    caught_up, verified = CatchUp.until_near, Takeover.verify

    async def until_near(self: CatchUp) -> str:
        if not self._findings.new.fenced:
            return await caught_up(self)
        return (await self._servers.at_old.state()).replication_id

    async def verify(self: Takeover) -> None:
        if not self._findings.new.fenced:
            await verified(self)
        self._report.fields["new_offset"] = self._report.fields["old_offset"]

    yield patch.object(CatchUp, "until_near", until_near)
    yield patch.object(Takeover, "verify", verify)


BUGS: dict[str, Callable[[], Patches]] = {
    "reply-to-the-wrong-client": _reply_to_the_wrong_client,
    "sent-again-after-reconnect": _sent_again_after_reconnect,
    "lost-release": _lost_release,
    "promoted-before-catch-up": _promoted_before_catch_up,
    "no-fence": _no_fence,
    "not-drained": _not_drained,
    "watch-forgotten": _watch_forgotten,
    "watch-always-proven": _watch_always_proven,
    "touched-watch-overlooked": _touched_watch_overlooked,
    "popped-and-lost": _popped_and_lost,
    "transaction-not-queued-again": _transaction_not_queued_again,
    "database-forgotten": _database_forgotten,
    "held-for-ever": _held_for_ever,
    "not-rolled-back": _not_rolled_back,
    "blocked-after-others": _blocked_after_others,
    "watch-left-behind": _watch_left_behind,
    "half-a-transaction": _half_a_transaction,
    "adjustment-forgotten": _adjustment_forgotten,
    "cancelling-overlooked": _cancelling_overlooked,
    "fence-left-behind": _fence_left_behind,
    "proof-given-up": _proof_given_up,
    "unblocked-once": _unblocked_once,
    "queued-again-at-any-time": _queued_again_at_any_time,
    "done-and-denied": _done_and_denied,
    "connection-left": _connection_left,
    "retries-when-closed": _retries_when_closed,
    "unblocks-the-gone": _unblocks_the_gone,
    "cache-not-emptied": _cache_not_emptied,
    "tracked-no-more": _tracked_no_more,
    "not-tracked-again": _not_tracked_again,
    "kill-waits-at-the-gate": _kill_waits_at_the_gate,
    "aborted-before-it-is-undone": _aborted_before_it_is_undone,
    "file-leads-back": _file_leads_back,
    "back-without-the-data": _back_without_the_data,
    **HOOKS,
    **COPIES,
    **LOSSES,
    **COPY_LOSSES,
    **WORKERS,
    **HANDOVERS,
    **RESIZES,
    **RESTARTS,
    **UPGRADES,
    **FLEETS,
    **FAILOVERS,
}


FOUND_AT_A_STOP = ("connection-left", "retries-when-closed")
FOUND_ELSEWHERE = (*FOUND_AT_A_STOP, "proof-given-up", "fence-left-behind", "queued-again-at-any-time")
"""Bugs that hardly any seed finds; tests in C{tests/dataplane}, C{tests/control} and C{tests/handlers} see them."""


def mode_of(name: str) -> Mode:
    """In which mode this bug shows."""
    modes: dict[Mode, dict[str, Callable[[], Patches]]] = {
        Mode.BOUNDARY: {**LOSSES, **COPY_LOSSES},
        Mode.WORKERS: {**WORKERS, **RESIZES},
        Mode.HANDOVER: HANDOVERS,
        Mode.FLEET: FLEETS,
        Mode.RESTART: RESTARTS,
        Mode.UPGRADE: UPGRADES,
        Mode.FAILOVER: FAILOVERS,
    }
    return next((mode for mode, bugs in modes.items() if name in bugs), Mode.ONE_PROCESS)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Have this bug of L{BUGS} in the proxy; none when the name is empty."""
    with ExitStack() as stack:
        for each in BUGS[name]() if name else ():
            stack.enter_context(each)
        yield
