"""What C{/metrics} tells of the fleet, in the Prometheus text format: peers, who leads, and what this proxy has led."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.fleet.all_planes import Assembly
    from redisproxy.fleet.here import Here
    from redisproxy.fleet.roster import Place, Roster

NAME = "redisproxy_fleet_"


class FleetFigures:
    """Of one moment, each time it is asked.

    @param is_led: whether a peer leads an operation here.
    """

    def __init__(self, here: Here, roster: Roster, assembly: Assembly, is_led: Callable[[], bool]) -> None:
        self._here, self._roster, self._assembly = here, roster, assembly
        self._is_led = is_led

    def beside(self, metrics: Callable[[], Deferred[bytes]]) -> Callable[[], Deferred[bytes]]:
        """All that `metrics` tells, and the figures of the fleet after it; without a fleet only the former."""
        return lambda: metrics().addCallback(lambda text: text + self._text())

    def _text(self) -> bytes:
        if self._here.configuration.settings.fleet is None:
            return b""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """Part of C{prometheus_client.registry.Collector}."""
        others, leading = self._roster.others, bool(self._assembly.leading)
        yield GaugeMetricFamily(f"{NAME}peers", "Peers that the configuration names, without this proxy", len(others))
        yield GaugeMetricFamily(f"{NAME}lease_seconds", "fleet.lease_ms", self._here.lease_s)
        yield GaugeMetricFamily(f"{NAME}leads", "Whether this proxy leads an operation of the fleet", leading)
        yield GaugeMetricFamily(f"{NAME}led", "Whether a peer leads an operation here", self._is_led())
        yield from self._of_peers(others)
        yield from self._of_operations()

    def _of_peers(self, others: list[Place]) -> Iterable[Metric]:
        reachable = GaugeMetricFamily(f"{NAME}peer_reachable", "Whether the peer answers", labels=["peer"])
        same = GaugeMetricFamily(f"{NAME}peer_same_server", "Whether it uses the server in use here", labels=["peer"])
        lag = GaugeMetricFamily(f"{NAME}peer_lag_seconds", "How long its last answer took", labels=["peer"])
        state = GaugeMetricFamily(f"{NAME}peer_state", "1 for the state that it told last", labels=["peer", "state"])
        for place in others:
            name = [str(place.address)]
            reachable.add_metric(name, not place.error)
            if (peer := place.peer) is not None:
                same.add_metric(name, peer.told.server == self._here.server)
                lag.add_metric(name, peer.lag_s)
                state.add_metric([*name, peer.told.state], 1)
        return reachable, same, lag, state

    def _of_operations(self) -> Iterable[Metric]:
        labels = ["operation", "result"]
        counted = CounterMetricFamily(f"{NAME}operations", "Operations that this proxy has led", labels=labels)
        last = GaugeMetricFamily(
            f"{NAME}last_operation_timestamp_seconds", "When the last one ended, since 1970", labels=labels
        )
        for ended, count in self._assembly.ended.items():
            counted.add_metric(ended, count)
        if self._assembly.last is not None:
            ended, at = self._assembly.last
            last.add_metric(ended, at)
        return counted, last
