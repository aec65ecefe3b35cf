"""The Prometheus text format of all figures, for the admin page C{/metrics}."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from redisproxy.figures import command_numbers

# The name of a counter, where its value is, and its help text.
_COUNTERS = (
    ("clients", "clients.total", "Clients accepted"),
    ("clients_handed_over", "clients.handed_over_total", "Clients that have gone to another process"),
    ("clients_taken_in", "clients.taken_in_total", "Clients that have come from another process"),
    ("commands", "flow.commands", "Commands sent to the uplink for clients"),
    ("commands_held", "clients.held_total", "Times that a client was stopped at the closed gate"),
    ("bytes_from_clients", "flow.bytes_from_clients", "Bytes received from clients"),
    ("bytes_to_clients", "flow.bytes_to_clients", "Bytes sent to clients"),
    ("uplink_connections", "uplink.connections_total", "Connections opened to the uplink"),
    ("uplink_failures", "uplink.failures_total", "Failed attempts to connect to the uplink"),
    (
        "uplink_password_failures",
        "uplink.password_failures_total",
        "New passwords that were not had, or refused",
    ),
    ("credentials_reload_failed", "operations.credentials_reload_failed_total", "Changed files that can't be used"),
    ("auth_failures", "clients.auth_failures_total", "Wrong passwords of clients"),
    ("tls_handshakes", "tls.done", "TLS handshakes with clients that were completed"),
    ("tls_handshakes_failed", "tls.failed", "TLS handshakes with clients that failed, or were given up"),
    ("pauses", "operations.pauses_total", "Times that the gate was closed"),
    ("reloads", "operations.reloads_total", "Configurations taken"),
    ("reloads_rejected", "operations.reloads_rejected_total", "Configurations rejected"),
    ("switchovers", "operations.switchovers_total", "Switchovers done"),
    ("switchovers_failed", "operations.switchovers_failed_total", "Switchovers refused or rolled back"),
    ("upgrades", "operations.upgrades_total", "Upgrades that this process or the one before has ended with"),
    ("upgrades_failed", "operations.upgrades_failed_total", "Upgrades that did not take place"),
    ("sentinel_switches", "operations.sentinel_switches_total", "Changes of the primary that were followed"),
)
_GAUGES = (
    ("clients_open", "clients.open", "Clients connected"),
    ("uplink_connections_open", "uplink.connections_open", "Connections open to the uplink"),
)

LISTENER = "listener."
"""Before the name of a listener in the numbers: how many clients are connected to it."""
_OF_THE_MOMENT = {
    "paused": "1 while the gate is closed",
    "in_flight": "Commands that were sent and not answered",
    "held": "Clients that wait at the closed gate",
    "raw_connections": "Connections of listen_raw",
    "uplink_connected": "1 while there is a connection to the Redis server",
    "uplink_pinned": "Connections to the uplink that each serve one client",
    "uplink_shared": "Connections to the uplink that serve many clients",
    "sentinels": "Sentinels that the configuration names",
    "sentinels_subscribed": "Sentinels whose events are heard",
}
OF_WORKERS = (
    ("clients", "gauge", "Clients connected to the worker"),
    ("in_flight", "gauge", "Commands of the worker that were sent and not answered"),
    ("held", "gauge", "Clients of the worker that wait at the closed gate"),
    ("commands", "counter", "Commands sent to the uplink since the worker was started"),
    ("restarts", "counter", "How often the worker was replaced"),
)
"""Of each worker: the value, what kind of metric it is, its help text."""
_KINDS: Mapping[str, type[CounterMetricFamily | GaugeMetricFamily]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
}


@dataclass(frozen=True, eq=False)
class Numbers:
    """What is shown, of one moment.

    @ivar numbers: everything that is counted, by its place. @ivar gauges: those of C{_OF_THE_MOMENT} by their names.
    @ivar clients_closed: by reason. @ivar refused: commands by name.
    @ivar certificates: for how many seconds certificates are valid still, by section, key and path.
    @ivar workers: of each worker, by its number, the values of C{OF_WORKERS}, and its C{numbers}.
    @ivar info: what the program and its configuration are, by name.
    """

    numbers: Mapping[str, int]
    gauges: Mapping[str, float]
    clients_closed: Mapping[str, int]
    refused: Mapping[str, int]
    workers: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    certificates: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    info: Mapping[str, str] = field(default_factory=dict)

    def collect(self) -> Iterable[Metric]:
        """Part of C{prometheus_client.registry.Collector}."""
        for name, place, text in _COUNTERS:
            family = CounterMetricFamily(f"redisproxy_{name}", text)
            family.add_metric([], self.numbers.get(place, 0))  # a process of an earlier version lacks some
            yield family
        for name, place, text in _GAUGES:
            yield GaugeMetricFamily(f"redisproxy_{name}", text, self.numbers[place])
        for name, value in self.gauges.items():
            yield GaugeMetricFamily(f"redisproxy_{name}", _OF_THE_MOMENT[name], value)
        yield InfoMetricFamily("redisproxy", "The program and its configuration", dict(self.info))
        yield from self._of_listeners()
        yield from command_numbers.collect(self.numbers)
        yield from self._of_workers()
        yield from self._of_certificates()
        yield _labelled("clients_closed", "Clients closed by the proxy", "reason", self.clients_closed)
        yield _labelled("commands_refused", "Commands refused", "command", self.refused)

    def _of_certificates(self) -> Iterable[Metric]:
        text = "For how long the certificates of a file are valid still"
        family = GaugeMetricFamily("redisproxy_certificate_expiry_seconds", text, labels=["section", "key", "path"])
        for place, seconds in self.certificates.items():
            family.add_metric(place, seconds)
        yield family

    def _of_listeners(self) -> Iterable[Metric]:
        family = GaugeMetricFamily("redisproxy_listener_clients", "Clients connected, by listener", labels=["listener"])
        for name, count in self.numbers.items():
            if name.startswith(LISTENER):
                family.add_metric([name.removeprefix(LISTENER)], count)
        yield family

    def _of_workers(self) -> Iterable[Metric]:
        for name, kind, text in OF_WORKERS if self.workers else ():
            family = _KINDS[kind](f"redisproxy_worker_{name}", text, labels=["worker"])
            for number, values in self.workers.items():
                family.add_metric([str(number)], values[name])
            yield family
        if self.workers:
            yield command_numbers.of_workers(self.workers)


def render(numbers: Numbers, registry: CollectorRegistry) -> bytes:
    """All of it in the Prometheus text format.

    @param registry: what the client library counts itself.
    """
    moment = CollectorRegistry()
    moment.register(numbers)
    return generate_latest(moment) + generate_latest(registry)


def _labelled(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(f"redisproxy_{name}", text, labels=[label])
    for key, value in sorted(counts.items()):
        family.add_metric([key], value)
    return family
