"""Counters of what operators and the sentinels have the proxy do."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector

PAUSE_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


@dataclass
class OperationMetrics:
    """All of one proxy.

    @ivar auth_failures_total: wrong passwords at the admin pages.
    @ivar registry: of what the client library of Prometheus counts: pauses, and the process itself.
    """

    pauses_total: int = 0
    reloads_total: int = 0
    reloads_rejected_total: int = 0
    switchovers_total: int = 0
    switchovers_failed_total: int = 0
    sentinel_switches_total: int = 0
    auth_failures_total: int = 0
    registry: CollectorRegistry = field(default_factory=_registry)
    _pauses: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self._pauses = Histogram(
            "redisproxy_pause_seconds",
            "How long clients were held",
            registry=self.registry,
            buckets=PAUSE_BUCKETS_S,
        )

    def observe_pause(self, seconds: float) -> None:
        """The gate has opened after `seconds`."""
        self._pauses.observe(seconds)

    def numbers(self) -> dict[str, int]:
        """Every counter by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, int)}
