"""What an operator should know about the server in use: an interrupted switchover may have left it unable to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.dialing import uplink_dial
from redisproxy.net.errors import UplinkError
from redisproxy.servers.credentials import credentials_of
from redisproxy.servers.interrupted_switchover import look_for_fence
from redisproxy.servers.redis_server import open_control

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
        uplink, name = settings.uplink, f"uplink {settings.uplink.address}"
        timeout_s = uplink.connect_timeout_ms / 1000
        connect = uplink_dial(self._network, uplink)
        text = await look_for_fence(await open_control(name, connect, credentials_of(uplink), self._clock, timeout_s))
        if settings is not self._configuration.settings:
            return
        before, self._text, self._about = self.text, text, settings
        if text and text != before:
            self.log.error("{name}: {advice}", name=name, advice=text)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(UplinkError, CancelledError):
            self.log.failure("looking at the uplink failed", failure=failure)
