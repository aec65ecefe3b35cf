"""What an operator should know about the server in use: an interrupted switchover may have left it unable to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkError
from redisproxy.servers.connecting import connect_to
from redisproxy.servers.interrupted_switchover import look_for_fence

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.control.configuration import Configuration
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.network import Network

AGAIN_S = 1.0


class UplinkAdvice:
    """Looks once at the start, and again every second for as long as there is something to tell."""

    log = Logger(namespace="redisproxy")

    def __init__(self, configuration: Configuration, network: Network, clock: Any) -> None:
        self._configuration = configuration
        self._network = network
        self._clock = clock
        self._text = ""
        self._about: Settings | None = None
        self._looked_at = 0.0
        self._waiting: Deferred[None] | None = None
        self._looking: Deferred[None] | None = None

    @property
    def text(self) -> str:
        """What there is to tell; empty when nothing is the matter, or another server is in use since."""
        return self._text if self._about is self._configuration.settings else ""

    def start(self, dataplane: DataPlane) -> None:
        """Look as soon as the server has answered the data plane."""
        self._waiting = dataplane.server_known().addCallback(lambda _: self._look()).addErrback(self._failed)

    def tick(self) -> None:
        """Look again if need be. To be called often."""
        if self.text and self._clock.seconds() - self._looked_at >= AGAIN_S:
            self._look()

    def stop(self) -> None:
        """Look no more."""
        for work in (self._waiting, self._looking):
            if work is not None:
                work.cancel()

    def _look(self) -> None:
        if self._looking is None or self._looking.called:
            self._looked_at = self._clock.seconds()
            self._looking = ensureDeferred(self._look_at(self._configuration.settings)).addErrback(self._failed)

    async def _look_at(self, settings: Settings) -> None:
        name = f"uplink {settings.uplink.address}"
        text = await look_for_fence(await connect_to(settings.uplink, name, self._network, self._clock))
        if settings is not self._configuration.settings:
            return
        before, self._text, self._about = self.text, text, settings
        if text and text != before:
            self.log.error("{name}: {advice}", name=name, advice=text)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(UplinkError, DataPlaneLost, CancelledError):
            self.log.failure("looking at the uplink failed", failure=failure)
