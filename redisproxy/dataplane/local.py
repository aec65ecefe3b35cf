"""The data plane of this process: the parts that carry commands, and how they obey the control plane."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from redisproxy.dataplane.blocked_clients import BlockedClients
from redisproxy.dataplane.client_orders import LocalClients
from redisproxy.dataplane.demotion import Demotion
from redisproxy.dataplane.gate_orders import LocalGate
from redisproxy.dataplane.handover_orders import LocalHandover, Reach
from redisproxy.dataplane.in_force import InForce
from redisproxy.dataplane.interface import Figures, UplinkStatus
from redisproxy.dataplane.listeners import Listeners
from redisproxy.dataplane.move_orders import LocalMove, Share
from redisproxy.dataplane.note_orders import LocalNotes
from redisproxy.dataplane.records import LocalRecords
from redisproxy.dataplane.server_commands import Learning
from redisproxy.dataplane.supervision import Supervision
from redisproxy.dataplane.turns import Turns
from redisproxy.dataplane.uplinks import UplinkBuilder
from redisproxy.figures import command_numbers
from redisproxy.figures.metrics import Metrics
from redisproxy.figures.prometheus import LISTENER
from redisproxy.figures.seconds import Seconds
from redisproxy.forwarding import twins
from redisproxy.forwarding.gate import Gate
from redisproxy.net.raw_relay import RawFactory
from redisproxy.shared.core import Core
from redisproxy.shared.registry import ALL_IDS, ClientRegistry, Ids

if TYPE_CHECKING:
    from redisproxy import config
    from redisproxy.client import Client
    from redisproxy.net.network import Network
    from redisproxy.uplink import UplinkSet


class LocalDataPlane:
    """Implements C{interface.DataPlane}.

    @param jitter: see C{uplink.UplinkSet}. @param ids: which ids its clients get.
    @param reach: see L{LocalHandover}.
    @param share: what of whole settings is for this data plane, if it has others beside it.
    @ivar core: what all clients share. @ivar registry: the clients.
    @ivar in_force: the settings, and the connections to their server.
    @ivar listeners: the ports; whoever starts the process opens them.
    """

    def __init__(
        self,
        settings: config.Settings,
        reactor: Any,
        network: Network,
        jitter: Callable[[float, float], float] = random.uniform,
        ids: Ids = ALL_IDS,
        reach: Reach | None = None,
        share: Share = lambda settings: settings,
    ) -> None:
        """
        @raise TLSFault: certificates can't be used.
        """
        settings = share(settings)
        self._network, self._clock, metrics = network, reactor, Metrics()
        gate = Gate(reactor, metrics.flow)
        builder = UplinkBuilder(network, reactor, gate, metrics, jitter)
        uplinks = builder.build(settings)
        self.core = core = Core(gate, metrics, reactor, uplinks)
        self.registry: ClientRegistry[Client] = ClientRegistry(metrics, settings.limits.max_clients, ids)
        self.raw = RawFactory(builder.dial(settings), settings.limits.max_raw_connections, metrics)
        self.listeners = Listeners(settings, core, self.registry, self.raw, network)
        self.in_force = InForce(settings, uplinks, core, self.registry, builder, self.raw, self.listeners)
        self._learning = Learning(lambda: self.in_force.uplinks, self.in_force.learn, reactor)
        seconds = Seconds(metrics, gate)
        self.records = LocalRecords(seconds, core.slow_log, core.hot_keys)
        self._take_orders(builder, reactor, reach, share)
        self._supervision = Supervision(self.in_force, self.registry, self._demotion, seconds, reactor)

    def _take_orders(self, builder: UplinkBuilder, reactor: Any, reach: Reach | None, share: Share) -> None:
        """Make what carries the orders out."""
        core, turns = self.core, Turns()
        blocked = BlockedClients(self.registry, core.blocked_commands, core.gate, reactor)
        self.gate = LocalGate(core, self.registry, self.in_force, blocked, reactor)
        self._demotion = Demotion(core.gate.flow, self.gate, self.in_force, reactor)
        self.move = LocalMove(
            core, self.registry, self.in_force, builder, self.listeners, blocked, reactor, turns, share
        )
        self.clients = LocalClients(self.registry, core.maintenance, self.raw, self.listeners, reactor)
        self.handover = LocalHandover(
            self.in_force, self.listeners, core.notes, self.registry, self._network, reactor, turns, reach
        )

    @cached_property
    def notes(self) -> LocalNotes:
        return LocalNotes(self.core.notes, self.in_force, self._clock)

    def start(self) -> Deferred[None]:
        self.in_force.connect_ahead()
        self._learning.start()
        self._supervision.start()
        return succeed(None)

    def connected(self) -> Deferred[bool]:
        return succeed(self.in_force.uplinks.registry.connected)

    def server_known(self) -> Deferred[None]:
        return self._learning.wait()

    def figures(self) -> Deferred[Figures]:
        core, metrics = self.core, self.core.metrics
        return succeed(
            Figures(
                gate=self.gate.status(),
                uplink=_uplink_figures(self.in_force.uplinks),
                listening=self.listeners.listening,
                clients_open=len(self.registry),
                blocked_waiting=len(core.blocked_commands),
                raw_connections=len(self.raw),
                numbers=self._numbers(),
                clients_closed=dict(metrics.clients.closed),
                refused=dict(metrics.clients.refused),
                native=twins.NATIVE,
                native_reason=twins.NATIVE_REASON,
                transports=self._network.name,
            )
        )

    def _numbers(self) -> dict[str, int]:
        core, listeners = self.core, Counter(client.identity.listener for client in self.registry)
        return {
            **core.metrics.numbers(),
            **command_numbers.of_commands(core.metrics.flow),
            **command_numbers.of_waits("gate", core.gate.waits),
            **command_numbers.of_waits("connection", core.metrics.uplink.waits),
            **{f"{LISTENER}{name}": listeners[name] for name in self.listeners.names},
            **self.listeners.handshakes(),
        }

    def stop(self) -> Deferred[None]:
        self._supervision.stop()
        self._learning.stop()
        self.core.maintenance.stop()
        self.in_force.stop()
        return succeed(None)


def _uplink_figures(uplinks: UplinkSet) -> UplinkStatus:
    return UplinkStatus(
        connected=uplinks.registry.connected,
        connections=len(uplinks.registry),
        shared=len(uplinks.shared_connections),
        pinned=len(uplinks.pinned_connections),
        last_error=uplinks.last_error,
        server={
            key.decode("utf-8", "replace"): value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for key, value in uplinks.server.items()
            if not isinstance(value, list)
        },
    )
