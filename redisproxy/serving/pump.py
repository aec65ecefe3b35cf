"""Takes what one client has sent, in order, for as long as nothing has to be waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from redisproxy.client.receive_buffer import Unit
from redisproxy.client.waiting import Reason
from redisproxy.handlers import dispatch, http_guard, large_commands, script_kill
from redisproxy.handlers.forward import forward
from redisproxy.resp import BEGIN, COMMAND, END, RUN, ProtocolError

if TYPE_CHECKING:
    from redisproxy.client.client import Client

MAX_AGAIN = 100


class Pump:
    """Takes the commands of one client.

    What can't go on stays where it is in the client's L{ReceiveBuffer}, with a L{Reason} that stops what is behind it.
    Where nothing about the client is special, it opens the lane, which needs no pump.
    """

    __slots__ = ("_client", "_lane", "_output", "_received", "_running", "_waiting")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lane = client.lane
        self._output = client.output
        self._received = client.received
        self._waiting = client.waiting
        self._running = False

    def run(self) -> None:
        """Take what can be taken now. There is no reason to wait, and the client is not closed."""
        if self._running or self._waiting.later:
            return
        self._running = True
        self._lane.queue = None
        try:
            self._take_all()
        except ProtocolError as error:
            self._broken(error)
        except Exception:
            self._client.closing.crashed(Failure())
        finally:
            self._running = False
        self._open_lane()
        if self._waiting.eof and not self._waiting.reasons:
            self._end_of_input()

    def _take_all(self) -> None:
        client, received, waiting, lane, again = self._client, self._received, self._waiting, self._lane, 0
        flow = client.core.gate.flow
        if lane.left_over is not None:
            received.park([lane.left_over])
            lane.left_over = None
        if lane.pending >= lane.limit:
            waiting.block(Reason.IN_FLIGHT)
        while not waiting.reasons and not self._output.closed:
            if not flow.open and not received.uploading and not script_kill.comes_next(client):
                if received.waiting:
                    self._hold()
                break
            unit = received.current or received.next()
            if unit is None:
                break
            received.current = unit
            if self._take(unit):
                received.current = None
                again = 0
            elif (again := again + 1) > MAX_AGAIN:
                raise RuntimeError("a command waits for nothing")

    def _take(self, unit: Unit) -> bool:
        """Handle one unit; False when it has to wait, and then a reason to wait is set (or the client closed)."""
        client, (kind, data, extra) = self._client, unit
        if self._waiting.blocking is not None and not self._received.sending_upload and not client.route.barrier():
            return False  # it may have to be sent again, and then nothing may have gone before it
        if kind == RUN:
            return forward(client, data, extra)
        if kind == COMMAND:
            return dispatch.command(client, data, extra)
        if kind == BEGIN:
            return dispatch.large_command(client, data, extra)
        return large_commands.go_on(client, data, kind == END)

    def _hold(self) -> None:
        """Wait at the gate, which is closed."""
        client = self._client
        if http_guard.comes_next(client):
            http_guard.close(client)
            return
        client.core.metrics.clients.held_total += 1
        client.core.gate.hold(self._waiting)
        self._waiting.block(Reason.GATE)

    def _open_lane(self) -> None:
        """Let plain commands go straight from now on, if nothing about the client is special."""
        route, received = self._client.route, self._received
        if (
            route.at_hand
            and not self._waiting.reasons
            and not self._output.closed
            and received.empty
            and not received.uploading
            and not self._client.session.special
            and self._waiting.blocking is None
        ):
            assert route.connection is not None
            self._lane.queue = route.connection.queue

    def _broken(self, error: ProtocolError) -> None:
        if self._lane.pending:
            # The replies to what came before the broken command go first.
            self._waiting.block(Reason.REPLIES)
            return
        self._output.error(f"ERR {error.text}")
        self._client.closing.close_for("protocol_error", error.text)

    # -- the end of what arrives

    def no_more_comes(self) -> None:
        """The client sends no more: answer what it has sent, then close. One blocked in BLPOP has gone."""
        self._waiting.eof = self._output.alert = True
        self._output.sync()
        if self._waiting.blocking is not None:
            self._client.closing.drop("")
        elif not self._waiting.reasons:
            self.run()

    def _end_of_input(self) -> None:
        """Everything that has arrived has been taken, and no more will come."""
        closing = self._client.closing
        if self._received.sending_upload:
            closing.drop("")  # the rest of this command will never come
        elif self._waiting.blocking is not None:
            closing.drop("")  # it could wait for ever
        elif not self._lane.pending:
            closing.close()
