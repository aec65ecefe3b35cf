"""Counters and histograms: called, never calling.

The command path adds to plain integers; the Prometheus client library turns them into its text format when asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from redisproxy.forwarding.twins import Flow

MAX_NAMES = 100
OTHER = "other"

_COUNTERS = {
    "clients_total": "Clients accepted",
    "commands_total": "Commands sent to the uplink for clients",
    "commands_held_total": "Times that a client was stopped at the closed gate",
    "bytes_from_clients": "Bytes received from clients",
    "bytes_to_clients": "Bytes sent to clients",
    "uplink_connections_total": "Connections opened to the uplink",
    "uplink_failures_total": "Failed attempts to connect to the uplink",
    "auth_failures_total": "Wrong passwords of clients",
    "pauses_total": "Times that the gate was closed",
    "reloads_total": "Configurations taken",
    "reloads_rejected_total": "Configurations rejected",
    "switchovers_total": "Switchovers done",
    "switchovers_failed_total": "Switchovers refused or rolled back",
    "sentinel_switches_total": "Changes of the primary that were followed",
}
_FLOW = ("commands_total", "bytes_from_clients", "bytes_to_clients")
_OWN = tuple(name for name in _COUNTERS if name not in _FLOW)
_GAUGES = {"clients_open": "Clients connected", "uplink_connections_open": "Connections open to the uplink"}


class BoundedCounter(Counter[str]):
    """A counter by name with at most 100 names; what is counted under further ones is counted as C{other}."""

    def __setitem__(self, name: str, value: int) -> None:
        if name not in self and len(self) >= MAX_NAMES and name != OTHER:
            super().__setitem__(OTHER, self[OTHER] + value)
        else:
            super().__setitem__(name, value)


class Metrics:
    """All numbers of one proxy.

    @ivar flow: the counts that every command changes.
    @ivar clients_closed: clients that the proxy has closed, by reason.
    @ivar refused: commands that were refused, by name.
    """

    __slots__ = (*_OWN, *_GAUGES, "_pauses", "_registry", "clients_closed", "flow", "refused")

    clients_total: int
    clients_open: int
    commands_held_total: int
    uplink_connections_total: int
    uplink_connections_open: int
    uplink_failures_total: int
    auth_failures_total: int
    pauses_total: int
    reloads_total: int
    reloads_rejected_total: int
    switchovers_total: int
    switchovers_failed_total: int
    sentinel_switches_total: int

    def __init__(self) -> None:
        self.flow = Flow()
        for name in (*_OWN, *_GAUGES):
            setattr(self, name, 0)
        self.clients_closed: Counter[str] = BoundedCounter()
        self.refused: Counter[str] = BoundedCounter()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._pauses = Histogram(
            "redisproxy_pause_seconds",
            "How long clients were held",
            registry=self._registry,
            buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
        )

    @property
    def commands_total(self) -> int:
        """Commands sent for clients."""
        return self.flow.commands

    @property
    def bytes_from_clients(self) -> int:
        """Bytes received from clients."""
        return self.flow.bytes_from_clients

    @property
    def bytes_to_clients(self) -> int:
        """Bytes sent to clients."""
        return self.flow.bytes_to_clients

    def observe_pause(self, seconds: float) -> None:
        """The gate has opened after `seconds`."""
        self._pauses.observe(seconds)

    def render(self, gauges: Mapping[str, float]) -> bytes:
        """The Prometheus text exposition; `gauges` are values of this moment, by name."""
        moment = CollectorRegistry()
        moment.register(_Snapshot(self, gauges))
        return generate_latest(moment) + generate_latest(self._registry)


class _Snapshot:
    def __init__(self, metrics: Metrics, gauges: Mapping[str, float]) -> None:
        self._metrics = metrics
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, text in _COUNTERS.items():
            family = CounterMetricFamily(f"redisproxy_{name.removesuffix('_total')}", text)
            family.add_metric([], getattr(self._metrics, name))
            yield family
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"redisproxy_{name}", text, getattr(self._metrics, name))
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(f"redisproxy_{name}", name.replace("_", " "), value)
        yield _labelled("clients_closed", "Clients closed by the proxy", "reason", self._metrics.clients_closed)
        yield _labelled("commands_refused", "Commands refused", "command", self._metrics.refused)


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"redisproxy_{name}", text, labels=[label])
    for key, value in sorted(counts.items()):
        family.add_metric([key], value)
    return family
