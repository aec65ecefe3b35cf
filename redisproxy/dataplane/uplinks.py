"""Builds the connections to the server of a configuration; nothing is connected yet."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import fail

from redisproxy.net.dialing import Dial, uplink_dial
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.credentials import credentials_of
from redisproxy.uplink import UplinkContext, UplinkLimits, UplinkSet

if TYPE_CHECKING:
    from redisproxy import config
    from redisproxy.figures.metrics import Metrics
    from redisproxy.forwarding.gate import Gate
    from redisproxy.net.network import Network


class UplinkBuilder:
    """What all sets of connections of one data plane have in common.

    @param jitter: see C{uplink.UplinkSet}.
    """

    def __init__(
        self,
        network: Network,
        clock: Any,
        gate: Gate,
        metrics: Metrics,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._network = network
        self._clock = clock
        self._gate = gate
        self._metrics = metrics
        self._jitter = jitter

    def dial(self, settings: config.Settings) -> Dial:
        """How to open one transport to the server of `settings`. One behind a name has to be found first.

        @raise TLSFault: its certificates can't be used.
        """
        uplink, dial = settings.uplink, uplink_dial(self._network, settings.uplink)
        if uplink.watched_name is not None and uplink.found is None:
            host = uplink.watched_name.host
            return lambda _: fail(UplinkUnavailable(f"it has not been found yet where the primary of {host} is"))
        return dial

    def build(self, settings: config.Settings) -> UplinkSet:
        """A set of connections to the server of `settings`.

        @raise TLSFault: its certificates can't be used.
        """
        uplink = settings.uplink
        context = UplinkContext(
            clock=self._clock,
            gate=self._gate,
            metrics=self._metrics,
            end_of_turn=self._network.end_of_turn,
            name=f"uplink {uplink.address}",
            limits=_limits(uplink),
        )
        return UplinkSet(self.dial(settings), credentials_of(uplink, self._network), context, self._jitter)


def _limits(uplink: config.UplinkSettings) -> UplinkLimits:
    return UplinkLimits(
        connect_timeout_s=uplink.connect_timeout_ms / 1000,
        wait_limit_s=uplink.wait_limit_ms / 1000,
        backoff_min_s=uplink.reconnect_min_ms / 1000,
        backoff_max_s=uplink.reconnect_max_ms / 1000,
        max_pinned=uplink.max_pinned,
        ping_interval_s=uplink.ping_interval_ms / 1000,
        ping_timeout_s=uplink.ping_timeout_ms / 1000,
    )
