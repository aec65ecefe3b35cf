"""What this proxy is to its peers: itself, and the parts of its control plane that an operation of the fleet needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from twisted.logger import Logger

import redisproxy
from redisproxy.control.errors import SHUTTING_DOWN
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.fleet.orders import Introduction
from redisproxy.remote.interrupted import Arbiter

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.control import Control
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.network import Network

KEPT_S = 0.5
"""Figures of workers cost orders: several peers ask, and all get the same for so long."""


@dataclass(frozen=True)
class Here:
    """This proxy.

    @ivar instance: of the process. @ivar dataplane: its own one.
    """

    log: ClassVar[Logger] = Logger(namespace="redisproxy.fleet")

    instance: str
    control: Control
    dataplane: DataPlane
    configuration: Configuration
    network: Network
    clock: Any

    @property
    def name(self) -> str:
        """Where it listens for its peers."""
        fleet = self.configuration.settings.fleet
        return "" if fleet is None else str(fleet.listen.address)

    @property
    def lease_s(self) -> float:
        """How long after the last word of its leader it goes on by itself."""
        fleet = self.configuration.settings.fleet
        return 2.0 if fleet is None else fleet.lease_ms / 1000

    @property
    def server(self) -> str:
        """The address of the server in use."""
        return str(self.configuration.settings.uplink.address)

    async def clients_closed(self) -> dict[str, int]:
        """How many of its clients were closed so far, by reason."""
        return dict((await self.dataplane.figures()).clients_closed)

    async def lift_fence(self, uplink: UplinkSettings) -> bool:
        """By order of a leader that can't reach this server: have it take writes again; whether it does."""
        lifted = await Arbiter(self.network, self.clock).lift_fence(uplink)
        text = "{server} takes writes again" if lifted else "{server} does not answer"
        self.log.warn(f"the leader can't lift the fence: {text}", server=str(uplink.address))
        return lifted


class SelfPortrait:
    """What this proxy tells its peers of itself.

    @param leads: whether it leads an operation of the fleet.
    """

    def __init__(self, here: Here, leads: Callable[[], bool]) -> None:
        self._here = here
        self.leads = leads
        self._told: Introduction | None = None
        self._told_at = 0.0

    async def introduction(self) -> Introduction:
        """As it is now; figures may be half a second old."""
        here = self._here
        now = here.clock.seconds()
        if self._told is None or now - self._told_at >= KEPT_S:
            self._told, self._told_at = await self._made(), now
        return self._with_what_runs(self._told)

    def _with_what_runs(self, told: Introduction) -> Introduction:
        here = self._here
        changed: dict[str, Any] = {"name": here.name, "server": here.server}
        changed |= {"operation": here.control.exclusion.running, "leads": self.leads()}
        if here.control.shutdown.begun:
            changed["state"] = SHUTTING_DOWN
        return Introduction(**{**told.__dict__, **changed})

    async def _made(self) -> Introduction:
        here = self._here
        told: dict[str, Any] = {"instance": here.instance, "name": here.name, "version": redisproxy.__version__}
        try:
            figures = await here.dataplane.figures()
        except DataPlaneLost as error:
            return Introduction(**told, state=str(error), server=here.server, connected=False, clients=0, held=0)
        connected, clients = figures.uplink.connected, figures.clients_open
        return Introduction(
            **told,
            state=figures.gate.state,
            server=here.server,
            connected=connected,
            clients=clients,
            held=figures.gate.held,
        )
