"""The metrics page: numbers by name become the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

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
_GAUGES = {"clients_open": "Clients connected", "uplink_connections_open": "Connections open to the uplink"}


@dataclass(frozen=True)
class Numbers:
    """What is shown, of one moment.

    @ivar numbers: every counter, and the gauges that are counted up and down. @ivar gauges: the other gauges.
    @ivar clients_closed: by reason. @ivar refused: commands by name.
    """

    numbers: Mapping[str, int]
    gauges: Mapping[str, float]
    clients_closed: Mapping[str, int]
    refused: Mapping[str, int]

    def collect(self) -> Iterable[Metric]:
        """Part of C{prometheus_client.registry.Collector}."""
        for name, text in _COUNTERS.items():
            family = CounterMetricFamily(f"redisproxy_{name.removesuffix('_total')}", text)
            family.add_metric([], self.numbers[name])
            yield family
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"redisproxy_{name}", text, self.numbers[name])
        for name, value in self.gauges.items():
            yield GaugeMetricFamily(f"redisproxy_{name}", name.replace("_", " "), value)
        yield _labelled("clients_closed", "Clients closed by the proxy", "reason", self.clients_closed)
        yield _labelled("commands_refused", "Commands refused", "command", self.refused)


def expose(numbers: Numbers, counted: CollectorRegistry) -> bytes:
    """The text exposition.

    @param counted: what the client library itself counts.
    """
    moment = CollectorRegistry()
    moment.register(numbers)
    return generate_latest(moment) + generate_latest(counted)


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"redisproxy_{name}", text, labels=[label])
    for key, value in sorted(counts.items()):
        family.add_metric([key], value)
    return family
