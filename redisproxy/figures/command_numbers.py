"""Histograms as plain numbers, which can be added over processes, and as Prometheus reads them.

Names are C{commands.<family>}, C{errors.<family>}, C{client.<family>.<bucket>}, C{client_ns.<family>}, the same for
C{uplink}, and C{waits.<what>.<bucket>}, C{waits_us.<what>}. What is 0 is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from redisproxy.figures.families import FAMILIES
from redisproxy.figures.latency import BOUNDS_NS, SHOWN
from redisproxy.forwarding.waits import BOUNDS_S, Waits

if TYPE_CHECKING:
    from redisproxy.forwarding.queue import Flow

_COUNTED = (
    ("commands", "commands_by_family", "Commands sent to the uplink for clients, by family"),
    ("errors", "errors_by_family", "Errors that the uplink has answered, by family of the command"),
)
_TIMED = (
    ("client", "client_latency_seconds", "From the arrival of a command to its reply, by family"),
    ("uplink", "uplink_latency_seconds", "From when a command left for the uplink to its reply, by family"),
)
_WAITED = (
    ("gate", "gate_wait_seconds", "How long clients were held at the closed gate"),
    ("connection", "connection_wait_seconds", "How long clients waited for a connection to the uplink"),
)

OF_WORKER = "worker_client_latency_seconds"
OF_WORKER_TEXT = "From the arrival of a command to its reply, by worker"


def of_commands(flow: Flow) -> dict[str, int]:
    """What was counted of commands."""
    figures, numbers = flow.figures, {}
    counted = {"commands": figures.commands, "errors": figures.errors}
    timed = {"client_ns": figures.client_ns, "uplink_ns": figures.uplink_ns}
    for name, values in (counted | timed).items():
        numbers.update({f"{name}.{family}": value for family, value in zip(FAMILIES, values, strict=True) if value})
    for name, histograms in (("client", figures.client), ("uplink", figures.uplink)):
        for family, counts in zip(FAMILIES, histograms, strict=True):
            numbers.update({f"{name}.{family}.{number}": count for number, count in enumerate(counts) if count})
    return numbers


def of_waits(name: str, waits: Waits) -> dict[str, int]:
    """What was counted of waits for C{name}."""
    counts = {f"waits.{name}.{number}": count for number, count in enumerate(waits.counts) if count}
    return {**counts, f"waits_us.{name}": waits.total_us}


def collect(numbers: Mapping[str, int]) -> Iterable[Metric]:
    """All of it as metrics."""
    for name, shown, text in _COUNTED:
        counter = CounterMetricFamily(f"redisproxy_{shown}", text, labels=["family"])
        for family in FAMILIES:
            counter.add_metric([family], numbers.get(f"{name}.{family}", 0))
        yield counter
    bounds = [(number, BOUNDS_NS[number] / 1e9) for number in SHOWN]
    for name, shown, text in _TIMED:
        histogram = HistogramMetricFamily(f"redisproxy_{shown}", text, labels=["family"])
        for family in FAMILIES:
            counts = [numbers.get(f"{name}.{family}.{number}", 0) for number in range(len(BOUNDS_NS) + 1)]
            if any(counts):
                histogram.add_metric([family], _buckets(counts, bounds), numbers.get(f"{name}_ns.{family}", 0) / 1e9)
        yield histogram
    for name, shown, text in _WAITED:
        histogram = HistogramMetricFamily(f"redisproxy_{shown}", text)
        counts = [numbers.get(f"waits.{name}.{number}", 0) for number in range(len(BOUNDS_S) + 1)]
        histogram.add_metric([], _buckets(counts, list(enumerate(BOUNDS_S))), numbers.get(f"waits_us.{name}", 0) / 1e6)
        yield histogram


def of_workers(workers: Mapping[int, Mapping[str, Any]]) -> Metric:
    """How long commands of each worker's clients take, of all families. @param workers: their numbers, by their own."""
    histogram = HistogramMetricFamily(f"redisproxy_{OF_WORKER}", OF_WORKER_TEXT, labels=["worker"])
    bounds = [(number, BOUNDS_NS[number] / 1e9) for number in SHOWN]
    for worker, numbers in workers.items():
        counts = [0] * (len(BOUNDS_NS) + 1)
        for name, count in numbers.items():
            if name.startswith("client."):
                counts[int(name.rpartition(".")[2])] += count
        total_ns = sum(count for name, count in numbers.items() if name.startswith("client_ns."))
        histogram.add_metric([str(worker)], _buckets(counts, bounds), total_ns / 1e9)
    return histogram


def _buckets(counts: Sequence[int], bounds: Sequence[tuple[int, float]]) -> list[tuple[str, float]]:
    """The sums up to each bound, as Prometheus has them. @param bounds: numbers of buckets with their upper bounds."""
    shown = [(str(bound), float(sum(counts[: number + 1]))) for number, bound in bounds]
    return [*shown, ("+Inf", float(sum(counts)))]
