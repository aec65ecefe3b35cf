"""The Prometheus text format of all figures, for the admin page C{/metrics}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from redisproxy.figures.metrics import Metrics

# The name of a counter, where its value is, and its help text.
_COUNTERS = (
    ("clients", "clients.total", "Clients accepted"),
    ("commands", "flow.commands", "Commands sent to the uplink for clients"),
    ("commands_held", "clients.held_total", "Times that a client was stopped at the closed gate"),
    ("bytes_from_clients", "flow.bytes_from_clients", "Bytes received from clients"),
    ("bytes_to_clients", "flow.bytes_to_clients", "Bytes sent to clients"),
    ("uplink_connections", "uplink.connections_total", "Connections opened to the uplink"),
    ("uplink_failures", "uplink.failures_total", "Failed attempts to connect to the uplink"),
    ("auth_failures", "clients.auth_failures_total", "Wrong passwords of clients"),
    ("pauses", "operations.pauses_total", "Times that the gate was closed"),
    ("reloads", "operations.reloads_total", "Configurations taken"),
    ("reloads_rejected", "operations.reloads_rejected_total", "Configurations rejected"),
    ("switchovers", "operations.switchovers_total", "Switchovers done"),
    ("switchovers_failed", "operations.switchovers_failed_total", "Switchovers refused or rolled back"),
    ("sentinel_switches", "operations.sentinel_switches_total", "Changes of the primary that were followed"),
)
_GAUGES = (
    ("clients_open", "clients.open", "Clients connected"),
    ("uplink_connections_open", "uplink.connections_open", "Connections open to the uplink"),
)


def render(metrics: Metrics, gauges: Mapping[str, float]) -> bytes:
    """All of `metrics` in the Prometheus text format; `gauges` are further values of this moment, by name."""
    moment = CollectorRegistry()
    moment.register(_Snapshot(metrics, gauges))
    return generate_latest(moment) + generate_latest(metrics.registry)


class _Snapshot:
    def __init__(self, metrics: Metrics, gauges: Mapping[str, float]) -> None:
        self._metrics = metrics
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        for name, place, text in _COUNTERS:
            family = CounterMetricFamily(f"redisproxy_{name}", text)
            family.add_metric([], attrgetter(place)(self._metrics))
            yield family
        for name, place, text in _GAUGES:
            yield GaugeMetricFamily(f"redisproxy_{name}", text, attrgetter(place)(self._metrics))
        for name, value in self._gauges.items():
            yield GaugeMetricFamily(f"redisproxy_{name}", name.replace("_", " "), value)
        clients = self._metrics.clients
        yield _labelled("clients_closed", "Clients closed by the proxy", "reason", clients.closed)
        yield _labelled("commands_refused", "Commands refused", "command", clients.refused)


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"redisproxy_{name}", text, labels=[label])
    for key, value in sorted(counts.items()):
        family.add_metric([key], value)
    return family
