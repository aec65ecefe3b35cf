"""Why a client's commands are not taken for now. While there is a reason, its transport is not read.

Whoever finds that a command can't go on gives a L{Reason} here, and takes it back when it is over.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from redisproxy.client.output import Output
    from redisproxy.client.receive_buffer import ReceiveBuffer
    from redisproxy.forwarding.twins import Lane
    from redisproxy.shared.core import Core


class Reason(IntEnum):
    """Reasons to wait. While there is one, the client's transport is paused.

    Sums of them are plain integers: a flag of C{enum} would cost more than the rest of what is done with it.
    """

    GATE = 1
    """The gate is closed."""
    REPLIES = 2
    """Replies are outstanding that have to come first."""
    UPLINK = 4
    """A connection to Redis is wanted."""
    WRITABLE = 8
    """The connection to Redis takes no more bytes for now."""
    SLOW_READER = 16
    """The client does not read its replies."""
    IN_FLIGHT = 32
    """The client has as many replies outstanding as it may."""
    SUBSCRIPTION = 128
    """What it publishes came after a change of a subscription that the server has not confirmed yet."""
    SWITCH = 64
    """Its blocking command waits until a switch is over."""
    HANDOVER = 256
    """It is on its way to another data plane."""
    WORKERS = 512
    """It has asked about clients of other workers."""


_FOR_REPLIES = Reason.REPLIES | Reason.IN_FLIGHT


class BlockedCommand(Protocol):
    """A command that waits at the server.

    @ivar moving: it was asked to come back.
    """

    moving: bool

    @property
    def can_be_sent_again(self) -> bool:
        """Whether its client does not notice L{move}."""

    def move(self) -> None:
        """End the wait at the server, so that the drain need not wait for it."""

    def release(self, how: bytes) -> None:
        """Another client wants the wait to end; `how` is TIMEOUT or ERROR."""


class Pump(Protocol):
    """Takes the client's commands."""

    def run(self) -> None:
        """Take what can be taken of what has arrived."""

    def no_more_comes(self) -> None:
        """The client sends no more."""


class Waiting:
    """The reasons for which one client waits, and what goes on when there are none.

    @ivar reasons: those that there are now.
    @ivar blocking: the command that waits at the server (BLPOP), if there is one.
    @ivar eof: the client will send no more.
    @ivar pump: takes its commands; set before the first one has arrived.
    """

    __slots__ = ("_core", "_lane", "_output", "_received", "blocking", "eof", "later", "pump", "reading", "reasons")

    pump: Pump

    def __init__(self, core: Core, lane: Lane, received: ReceiveBuffer, output: Output) -> None:
        self._core = core
        self._lane = lane
        self._received = received
        self._output = output
        self.reasons = 0
        self.blocking: BlockedCommand | None = None
        self.eof = self.later = False
        self.reading = True

    def block(self, reason: Reason) -> None:
        """Take no more commands for `reason`."""
        self.reasons |= reason
        self._lane.queue = None
        if reason & _FOR_REPLIES:
            self._output.alert = True
            self._output.sync()
        self.steer_reading()

    def unblock(self, reason: Reason) -> None:
        """`reason` is over; when it was the last one, go on."""
        self.reasons &= ~reason
        if self.reasons or self._output.closed:
            return
        self._output.alert = self.eof
        self._output.sync()
        self.pump.run()
        self.steer_reading()

    def look(self) -> None:
        """Take what can be taken now: something has arrived that did not go straight, or is to be taken again."""
        if not self.reasons and not self._output.closed:
            self.pump.run()

    def take_later(self) -> None:
        """Take nothing until L{take_now}, even if a reply has come that was waited for: more may have come with it."""
        self.later = True

    def take_now(self) -> None:
        """End L{take_later}."""
        self.later = False
        self.look()

    def steer_reading(self) -> None:
        """Read no more while there is a reason, but from a client that waits at the server: its end is to be noticed.

        The server would go on waiting for it, and what it gives then would be lost. A bit more is held for it.
        """
        held = self._core.limits.max_held_request_bytes
        at_server = self.blocking is not None and self._received.framer.buffered <= held
        reading = not self.reasons or at_server
        if reading is not self.reading and not self.eof and not self._output.closed:
            self.reading = reading
            transport = self._output.transport
            (transport.resumeProducing if reading else transport.pauseProducing)()

    def begin_reading(self) -> None:
        """There is another transport, which reads."""
        self.reading = True
        self.steer_reading()

    # -- for whom others wait

    def gate_opened(self) -> None:
        """Part of C{gate.Holder}: the gate is open again."""
        self.unblock(Reason.GATE)

    def until_the_switch_is_over(self) -> None:
        """Wait with a blocking command until a switch is over."""
        self._core.blocked_commands.hold(self)
        self.block(Reason.SWITCH)

    def let_go(self) -> None:
        """Part of C{blocked_commands.Waiting}: the switch is over."""
        self.unblock(Reason.SWITCH)

    def changes_settled(self) -> None:
        """Part of C{subscription_changes.Publisher}: the subscriptions that were changing have changed."""
        self.unblock(Reason.SUBSCRIPTION)

    def forget(self) -> None:
        """The client has gone: nobody is to call it back."""
        core = self._core
        core.gate.unhold(self)
        core.blocked_commands.forget(self)
        core.subscription_changes.forget(self)
