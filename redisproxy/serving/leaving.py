"""One client on its way to another data plane: held here until it can go, then exported with its socket.

C{dataplane/handover.py} tells in which order; C{serving/arriving.py} is the other end of the way.

What a client's connection is, and how it crosses (all of it is in C{session_value.py}):

==================================  ==================================================================================
state                               how it crosses
==================================  ==================================================================================
id, age, listener, user, database,  at once
name, library, RESP version,
failed logins, last command
reply mode (OFF, SKIP)              at once; the command that a SKIP means stays the first of what is unread
commands not taken, half a command  at once, as bytes; framing finds the same in them again
replies not sent                    at once, as bytes
replies outstanding                 have to come first: the client takes nothing meanwhile (L{Leaving.hold})
blocked command                     is called back from the server, then at once: unread, with what is left of its time
WAIT, a module's blocking command   is unblocked, and its reply has to come first
MULTI                               at once, as bytes: queued again before the client's next command; one that can't be
                                    remembered answers EXECABORT
WATCH                               made at the new connection first, then proven at the old one; else EXEC answers nil
subscriptions, MONITOR              made at the new connection first, then cut at a marker (L{StreamCut})
CLIENT TRACKING                     made at the new connection first; C{invalidate} with null at the change
maintenance notifications           at once, with an end that is owed
waiting at the gate, for an uplink  at once: the command is unread, and waits again
connection, for a slow reader
own connection without state        asked for again
NO-EVICT, NO-TOUCH, CAPA,           nothing is kept of them
READONLY, ASKING
a command too large to hold,        has to end first; the client is held only then
half forwarded or half thrown away
SCRIPT KILL under way               its reply has to come first
closing                             stays and ends here
TLS                                 stays: the keys can't be passed on
==================================  ==================================================================================

What has to end first, and has not at the deadline, keeps the client here, where it goes on as if nothing had been;
whoever ends this process then drops it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.client.message_stream import MONITORS, MessageStream
from redisproxy.client.session_value import ClientValue, MaintenanceValue, SubscriptionValue
from redisproxy.client.stream_cut import StreamCut
from redisproxy.client.waiting import Reason
from redisproxy.handlers.stream_marker import Marker, begin_cut, cut_for, end_cut
from redisproxy.net.errors import UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.net.detached import DetachedSocket

_CROSSES = Reason.HANDOVER | Reason.GATE | Reason.WRITABLE | Reason.SLOW_READER | Reason.SWITCH
"""What a client may wait for and cross nevertheless: it waits for it again."""


class Leaving:
    """One client that is to leave.

    @ivar watch_spent: its WATCH has ended with the proof that nothing had changed.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.watch_spent = False
        self._protocol: Any = None
        self._wish: MaintenanceValue | None = None
        self._stream: MessageStream | None = None
        self._cut: StreamCut | None = None
        self._marker: Marker | None = None

    @property
    def stays(self) -> str:
        """Why it can't ever go; empty when it can."""
        if self.client.closed:
            return "it is closing"
        there = self.client.output.transport.detachable
        return "" if there else "its connection is closing, or has TLS keys that stay here"

    def hold(self) -> str:
        """Have the client take nothing more, and call its blocked command back.

        @return: what has to end before it can go; empty when nothing has to. To be called again until then.
        """
        client = self.client
        waiting = client.waiting
        if client.received.uploading:
            return "it is sending a command too large to hold"
        waiting.block(Reason.HANDOVER)
        client.acquirer.give_up()
        if waiting.blocking is not None:
            waiting.blocking.move()
            return "its blocking command has not come back"
        if client.lane.pending:
            return "it waits for replies"
        if waiting.reasons & ~_CROSSES:
            return "it waits for the server"
        return self._amid()

    def _amid(self) -> str:
        stream = self.client.route.stream
        if self.client.session.subscribed:
            return ""  # its messages are cut between two of them
        amid = self.client.output.holding or (stream is not None and stream.mid_message)
        return "a message to it is under way" if amid else ""

    def export(self, unread: bytes = b"", unsent: bytes = b"") -> ClientValue:
        """What it is now.

        @param unread, unsent: what lay in its transport.
        """
        client, identity = self.client, self.client.identity
        now, first = client.core.clock.seconds(), client.received.first
        return ClientValue(
            id=identity.id,
            age_s=max(0.0, now - identity.created),
            idle_s=0.0 if client.lane.active else max(0.0, now - identity.last_seen),
            listener=identity.listener,
            peer=client.address,
            local=client.local_address,
            last_command=identity.last_command,
            session=client.session.export(None if first is None else first[1]),
            subscription=self._subscription(),
            maintenance=self._maintenance(),
            dedicated=client.share.dedicated,
            unread=client.received.export() + unread,
            unsent=unsent,
        )

    def _subscription(self) -> SubscriptionValue | None:
        stream = self.client.route.stream
        if stream is None or not self.client.session.subscribed:
            return None
        channels, patterns, shards = (tuple(stream.names[prefix]) for prefix in (b"", b"p", b"s"))
        return SubscriptionValue(
            channels=channels, patterns=patterns, shard_channels=shards, monitor=stream.FLAG == MONITORS
        )

    def _maintenance(self) -> MaintenanceValue | None:
        maintenance = self.client.core.maintenance
        wish = maintenance.export(self.client)
        if wish is None:
            return None
        return MaintenanceValue(endpoint_type=wish[0], told=wish[1], sequence=maintenance.sequence)

    async def begin_cut(self, text: bytes) -> tuple[bytes, ...]:
        """Have its messages end at the marker with this text; the command that sends it.

        @raise UplinkUnavailable: the server does not let them.
        """
        client, stream = self.client, self.client.route.stream
        if stream is None:
            raise UplinkUnavailable("the connection is lost on which messages come")
        self._stream = stream
        self._cut, self._marker = cut_for(client, text, stream.FLAG == MONITORS, is_old=True)
        await begin_cut(stream, self._cut, self._marker)
        return self._marker.command

    async def messages_cut(self) -> None:
        """Fire when the marker has come."""
        assert self._stream is not None and self._cut is not None
        await self._stream.reading_on(self._cut.reached())

    def take_socket(self) -> tuple[ClientValue, DetachedSocket]:
        """Take its socket away; all that it is, with what lay in its transport. Right after L{hold} has agreed.

        @raise NotDetachable: it can't be taken.
        """
        transport = self.client.output.transport
        self._protocol = transport.protocol
        if self.client.output.holding:
            self.client.pushes.look()
        before = self.export()
        socket = transport.detach()
        self.client.core.maintenance.forget(self.client)
        self._wish = before.maintenance
        unread, unsent = before.unread + socket.unread, socket.unsent
        return before.model_copy(update={"unread": unread, "unsent": unsent}), socket

    # -- the end of the way

    def gone(self) -> None:
        """It is with the other data plane: release all that it had here."""
        client = self.client
        client.closing.let_go()
        client.registry.remove(client.id)
        if client.core.log_clients:
            client.log.debug("client {id} handed over", id=client.id)

    def take_back(self, network: Any, socket: DetachedSocket) -> None:
        """The other data plane has refused it: have its socket again."""
        client = self.client
        if client.closed:
            client.registry.remove(client.id)
            socket.close()
            return
        try:
            network.adopt(socket, lambda: self._protocol)
        except (OSError, ValueError):
            self.gone()
            socket.close()
            return
        if self._wish is not None:
            wish = self._wish
            client.core.maintenance.take_in(client, wish.endpoint_type, wish.told, wish.sequence)
        client.pushes.forget_all()

    def stay(self) -> None:
        """It goes on here, as if nothing had been."""
        client = self.client
        if client.closed:
            return
        self._mend()
        if self.watch_spent:
            self._lose_watch()
        client.waiting.unblock(Reason.HANDOVER)

    def _lose_watch(self) -> None:
        if self.client.session.watching:
            self.client.session.lose_watch()
        if self.client.route.stream is None:
            self.client.route.leave()

    def _mend(self) -> None:
        """Have the messages go on here as well that came after the marker."""
        stream, cut = self._stream, self._cut
        if stream is None or cut is None or self._marker is None or self.client.route.stream is not stream:
            return
        cut.on_over = lambda: None
        fits = cut.open()
        end_cut(stream, cut, self._marker)
        if not fits:
            self.client.closing.drop("slow_reader")
