"""Notices that the server in use was a primary and is a replica now, and holds the clients until there is a primary.

A move to the new primary ends that, as the server's becoming a primary again does. The control plane looks for the new
one when it sees the gate closed for this reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DEMOTED
from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.dataplane.gate_orders import LocalGate
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.forwarding.twins import Flow

ASK_S = 1.0
"""How often a server that is no primary, or is said not to be one, is asked for its role."""
ASK_HELD_S = 0.1
"""The same while clients are held."""
FIRST_REST_S, LAST_REST_S = 1.0, 60.0
"""After a false alarm nobody is held for so long unless the server has said itself that it is a replica."""


class Demotion:
    """Watches the role of the server in use.

    A script may answer C{READONLY} as it likes: that alone holds clients for one round trip, and seldom.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(self, flow: Flow, gate: LocalGate, in_force: InForce, clock: IReactorTime) -> None:
        self._gate = gate
        self._in_force = in_force
        self._clock = clock
        self._was_primary = False
        self._held_at: float | None = None
        self._given_up = False
        self._rest_s = FIRST_REST_S
        self._rests_until = self._asked_at = 0.0
        self._asking: Deferred[None] | None = None
        flow.on_read_only = self.read_only
        in_force.on_left = self.server_left

    # -- what is noticed

    def read_only(self) -> None:
        """A reply says that the server is a replica. Called before the client gets it."""
        if self._role == "master":
            self._was_primary = True  # it was one at the last login
        if not self._was_primary:
            return
        now = self._clock.seconds()
        may_hold = self._held_at is None and now >= self._rests_until
        if may_hold:
            self._hold()
        if may_hold or now - self._asked_at >= ASK_S:
            self._ask()

    def look(self) -> None:
        """Take notice of the role that the server has told. To be called often."""
        if self._role == "master":
            self._is_primary()
        elif self._role and self._was_primary and self._held_at is None:
            self._hold()
        if self._held_at is not None or self._given_up:
            self._look_again()

    @property
    def _role(self) -> str:
        """C{master} or C{replica}, as the last login or question has found; empty when it is not known."""
        role = self._in_force.uplinks.server.get(b"role")
        return role.decode("ascii", "replace") if isinstance(role, bytes) else ""

    def server_left(self) -> None:
        """Another server is in use, and nothing is known of it yet."""
        self._was_primary = self._given_up = False
        self._stop_asking()
        self._release()

    def stop(self) -> None:
        """Ask no more."""
        self._stop_asking()

    # -- holding

    @property
    def _limit_s(self) -> float:
        return self._in_force.uplinks.context.limits.wait_limit_s

    def _hold(self) -> None:
        self._held_at = self._clock.seconds()
        self._gate.hold(DEMOTED)

    def _release(self) -> None:
        if self._held_at is not None:
            self._held_at = None
            self._gate.release(DEMOTED)

    def _look_again(self) -> None:
        now = self._clock.seconds()
        if self._held_at is not None and now - self._held_at >= self._limit_s:
            self._give_up()
        if now - self._asked_at >= (ASK_S if self._held_at is None else ASK_HELD_S):
            self._ask()

    def _give_up(self) -> None:
        """Hold nobody until the server has been a primary again, or another one is in use."""
        self.log.error(
            "{name} is a replica, and no primary was found within {limit_s:g} s (uplink.wait_limit_ms): clients go on",
            name=self._in_force.uplinks.context.name,
            limit_s=self._limit_s,
        )
        self._was_primary, self._given_up = False, True
        self._release()

    def _is_primary(self) -> None:
        self._was_primary, self._given_up = True, False

    # -- asking

    def _ask(self) -> None:
        if self._asking is None:
            self._asked_at = self._clock.seconds()
            self._asking = ensureDeferred(self._in_force.uplinks.warm_up.ask_role())
            self._asking.addCallbacks(self._answered, self._not_answered)

    def _stop_asking(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    def _not_answered(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._asking = None
        if not failure.check(UplinkError):
            self.log.failure("asking for the role failed", failure=failure)

    def _answered(self, _: None) -> None:
        self._asking = None
        if self._role == "master":
            self._false_alarm()
        elif self._role and self._was_primary:
            self._demoted()

    def _false_alarm(self) -> None:
        if self._held_at is not None and self._rests_until <= self._held_at:
            self._rests_until = self._clock.seconds() + self._rest_s
            self._rest_s = min(self._rest_s * 2, LAST_REST_S)
        self._is_primary()
        self._release()

    def _demoted(self) -> None:
        self._rest_s, self._rests_until = FIRST_REST_S, 0.0
        if self._held_at is None:
            self._hold()
