"""Counters and histograms in groups; every room adds to them.

The command path adds to plain integers; L{redisproxy.figures.prometheus} turns them into text when asked.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from operator import attrgetter

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector
from prometheus_client.core import Metric

from redisproxy.figures.families import FAMILY_OF, OTHER
from redisproxy.figures.latency import BOUNDS_NS
from redisproxy.figures.spans import Span
from redisproxy.forwarding.twins import Flow
from redisproxy.forwarding.waits import Waits

MAX_NAMES = 100
NOT_MEASURED = "REDISPROXY_FIGURES"
"""With 0 in this environment variable commands are not measured: for benchmarks, to see what it costs."""
PAUSE_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class BoundedCounter(Counter[str]):
    """A counter by name with at most 100 names; what is counted under further ones is counted as C{other}."""

    def __setitem__(self, name: str, value: int) -> None:
        if name not in self and len(self) >= MAX_NAMES and name != OTHER:
            super().__setitem__(OTHER, self[OTHER] + value)
        else:
            super().__setitem__(name, value)


class ClientFigures:
    """What is counted of clients.

    @ivar held_total: times that a client was stopped at the closed gate.
    @ivar handed_over_total, taken_in_total: clients that have gone to another data plane, and come from one.
    @ivar closed: clients that the proxy has closed, by reason.
    @ivar refused: commands that were refused, by name.
    """

    __slots__ = (
        "auth_failures_total",
        "closed",
        "handed_over_total",
        "held_total",
        "open",
        "refused",
        "taken_in_total",
        "total",
    )

    def __init__(self) -> None:
        self.total = self.open = self.held_total = self.auth_failures_total = 0
        self.handed_over_total = self.taken_in_total = 0
        self.closed: Counter[str] = BoundedCounter()
        self.refused: Counter[str] = BoundedCounter()


class UplinkFigures:
    """What is counted of the connections to the uplink.

    @ivar password_failures_total: times that there was no new password, or that an open connection did not take it.
    @ivar waits: how long clients have waited for one.
    """

    COUNTED = ("connections_open", "connections_total", "failures_total", "password_failures_total")
    __slots__ = (*COUNTED, "waits")

    def __init__(self) -> None:
        self.waits = Waits()
        self.connections_total = self.connections_open = self.failures_total = self.password_failures_total = 0


class Handshakes:
    """What became of TLS handshakes."""

    __slots__ = ("done", "failed")

    def __init__(self) -> None:
        self.done = self.failed = 0


class OperationFigures:
    """Figures of pauses, reloads, switchovers, failovers and upgrades.

    @ivar sentinel_switches_total: changes of the primary that the proxy has followed.
    @ivar auth_failures_total: wrong passwords at the admin pages.
    @ivar credentials_reload_failed_total: files with certificates or passwords that have changed and can't be used.
    @ivar on_span: called with each move and each pause that has ended.
    @ivar registry: what the Prometheus library collects itself: the length of pauses, and figures of the process.
    """

    _COUNTED = (
        "credentials_reload_failed_total",
        "pauses_total",
        "reloads_rejected_total",
        "reloads_total",
        "sentinel_switches_total",
        "switchovers_failed_total",
        "switchovers_total",
        "upgrades_failed_total",
        "upgrades_total",
    )
    __slots__ = (*_COUNTED, "_pauses", "auth_failures_total", "on_span", "registry")

    def __init__(self) -> None:
        self.pauses_total = self.sentinel_switches_total = self.auth_failures_total = 0
        self.reloads_total = self.reloads_rejected_total = self.credentials_reload_failed_total = 0
        self.switchovers_total = self.switchovers_failed_total = 0
        self.upgrades_total = self.upgrades_failed_total = 0
        self.on_span: Callable[[Span], None] = lambda span: None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._pauses = Histogram(
            "redisproxy_pause_seconds", "How long clients were held", registry=None, buckets=PAUSE_BUCKETS_S
        )
        self.registry.register(self)

    def observe_pause(self, seconds: float) -> None:
        """Count a pause; the gate was closed for `seconds`."""
        self._pauses.observe(seconds)
        self.on_span(Span("pause", seconds))

    def collect(self) -> Iterable[Metric]:
        """Part of C{prometheus_client.registry.Collector}: the length of pauses.

        Without the time at which the histogram was made, which the library would tell as a gauge of its own.
        """
        for metric in self._pauses.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric

    def numbers(self) -> dict[str, int]:
        """The counters by their place in the groups; see C{prometheus}."""
        return {f"operations.{name}": getattr(self, name) for name in self._COUNTED}


class Metrics:
    """All figures of one data plane.

    @ivar flow: the counters that every command changes.
    """

    __slots__ = ("clients", "flow", "uplink")

    _PLACES = (
        *(f"flow.{name}" for name in ("commands", "bytes_from_clients", "bytes_to_clients")),
        *(f"clients.{name}" for name in ("total", "open", "held_total", "auth_failures_total")),
        *(f"clients.{name}" for name in ("handed_over_total", "taken_in_total")),
        *(f"uplink.{name}" for name in UplinkFigures.COUNTED),
    )

    def __init__(self) -> None:
        self.flow = Flow(FAMILY_OF, BOUNDS_NS)
        self.flow.measures = os.environ.get(NOT_MEASURED) != "0"
        self.clients = ClientFigures()
        self.uplink = UplinkFigures()

    def numbers(self) -> dict[str, int]:
        """All counters and gauges by their place in the groups; see C{prometheus}."""
        return {place: attrgetter(place)(self) for place in self._PLACES}
