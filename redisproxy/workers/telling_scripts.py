"""Tells whoever drives a data plane of the scripts that its clients send, in the turn in which they have come.

That is before any reply to them can have come, so that no client counts on a script that is lost with this process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionClosed
from twisted.protocols.amp import AmpError
from twisted.python.failure import Failure

from redisproxy.dataplane import shared_value
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.shared.script_cache import ScriptCache

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

AT_ONCE_BYTES = 1024 * 1024
UNHEARD_BYTES = 4 * AT_ONCE_BYTES
"""While more than that was told and not heard, further ones wait."""
MAX_UNTOLD_BYTES = 64 * 1024 * 1024
"""Of those that wait, and of one alone; the longest unused ones are not told."""


class TellingScripts:
    """Those of one data plane. Nobody is told before L{tell_all}, nor when there is nobody.

    @param tell: given the scripts, see C{dataplane.shared_value}; fires when they were heard.
    @param end_of_turn: see C{net.Network}.
    """

    def __init__(
        self,
        scripts: ScriptCache,
        tell: Callable[[bytes], Deferred[Any]],
        end_of_turn: Callable[[Callable[[], None]], None],
    ) -> None:
        self._scripts = scripts
        self._tell = tell
        self._end_of_turn = end_of_turn
        self._untold = ScriptCache(MAX_UNTOLD_BYTES)
        self._unheard_bytes = 0
        scripts.on_new = self._saw

    def tell_all(self) -> None:
        """There is somebody who knows nothing."""
        self._untold.learn(self._scripts.bodies)
        self._go_on()

    def stop(self) -> None:
        """Tell no more."""
        self._scripts.on_new = lambda body: None

    def _saw(self, body: bytes) -> None:
        self._untold.learn((body,))
        self._end_of_turn(self._go_on)

    def _go_on(self) -> None:
        while len(self._untold) and self._unheard_bytes < UNHEARD_BYTES:
            bodies = self._untold.take(AT_ONCE_BYTES)
            size = sum(map(len, bodies))
            self._unheard_bytes += size
            telling = maybeDeferred(self._tell, shared_value.of_scripts(bodies))
            telling.addErrback(_nobody_there).addCallback(self._heard, size)

    def _heard(self, result: object, size: int) -> None:
        self._unheard_bytes -= size
        self._go_on()


def _nobody_there(failure: Failure) -> None:
    """Whoever comes next is told all of them. There may be no file descriptor for them, too."""
    failure.trap(DataPlaneLost, ConnectionClosed, AmpError, OSError)
