"""What Prometheus reads: every figure under its documented name, whoever counted it."""

from __future__ import annotations

import re

import pytest

from redisproxy.figures import command_numbers, prometheus
from redisproxy.figures.families import FAMILIES, OTHER
from redisproxy.figures.metrics import MAX_NAMES, Metrics, OperationFigures
from redisproxy.resp import encode_command
from redisproxy.workers.all_figures import summed
from redisproxy.workers.gone import is_counter
from tests.figures.exposition import lint, read


def lines(metrics: Metrics, operations: OperationFigures | None = None, **gauges: float) -> set[str]:
    operations, clients = operations or OperationFigures(), metrics.clients
    numbers = metrics.numbers() | operations.numbers()
    shown = prometheus.Numbers(numbers, gauges, clients.closed, clients.refused)
    text = prometheus.render(shown, operations.registry).decode()
    return {line for line in text.splitlines() if line.startswith("redisproxy_")}


def test_every_command_counts_in_the_flow() -> None:
    metrics = Metrics()
    metrics.flow.commands, metrics.flow.bytes_from_clients, metrics.flow.bytes_to_clients = 3, 40, 50
    assert lines(metrics) >= {
        "redisproxy_commands_total 3.0",
        "redisproxy_bytes_from_clients_total 40.0",
        "redisproxy_bytes_to_clients_total 50.0",
    }


@pytest.mark.parametrize(
    ("group", "figure", "name"),
    [
        ("clients", "total", "clients_total"),
        ("clients", "open", "clients_open"),
        ("clients", "held_total", "commands_held_total"),
        ("clients", "auth_failures_total", "auth_failures_total"),
        ("uplink", "connections_total", "uplink_connections_total"),
        ("uplink", "connections_open", "uplink_connections_open"),
        ("uplink", "failures_total", "uplink_failures_total"),
        ("operations", "pauses_total", "pauses_total"),
        ("operations", "reloads_total", "reloads_total"),
        ("operations", "reloads_rejected_total", "reloads_rejected_total"),
        ("operations", "switchovers_total", "switchovers_total"),
        ("operations", "switchovers_failed_total", "switchovers_failed_total"),
        ("operations", "sentinel_switches_total", "sentinel_switches_total"),
    ],
)
def test_a_figure_of_a_group_has_its_name(group: str, figure: str, name: str) -> None:
    metrics, operations = Metrics(), OperationFigures()
    setattr(operations if group == "operations" else getattr(metrics, group), figure, 7)
    assert [line for line in lines(metrics, operations) if line.endswith(" 7.0")] == [f"redisproxy_{name} 7.0"]


def test_closed_clients_and_refused_commands_are_told_by_reason_and_name() -> None:
    metrics = Metrics()
    metrics.clients.closed["slow_reader"] += 2
    metrics.clients.refused["DEBUG"] += 1
    assert lines(metrics) >= {
        'redisproxy_clients_closed_total{reason="slow_reader"} 2.0',
        'redisproxy_commands_refused_total{command="DEBUG"} 1.0',
    }


def test_names_that_clients_choose_are_bounded() -> None:
    metrics = Metrics()
    for number in range(MAX_NAMES + 50):
        metrics.clients.refused[f"X{number}"] += 1
    assert len(metrics.clients.refused) == MAX_NAMES + 1 and metrics.clients.refused[OTHER] == 50


def test_pauses_are_a_histogram_and_gauges_are_values_of_the_moment() -> None:
    operations = OperationFigures()
    operations.observe_pause(0.004)
    assert lines(Metrics(), operations, held=5) >= {
        'redisproxy_pause_seconds_bucket{le="0.001"} 0.0',
        'redisproxy_pause_seconds_bucket{le="0.005"} 1.0',
        "redisproxy_held 5.0",
    }


def exposed(metrics: Metrics) -> bytes:
    operations = OperationFigures()
    numbers = metrics.numbers() | operations.numbers() | command_numbers.of_commands(metrics.flow)
    shown = prometheus.Numbers(numbers, {"held": 0}, {}, {}, {1: {name: 1 for name, *_ in prometheus.OF_WORKERS}})
    return prometheus.render(shown, operations.registry)


def test_commands_are_shown_by_family_with_histograms_of_their_times() -> None:
    metrics = Metrics()
    figures, string = metrics.flow.figures, frozenset({("family", "string")})
    figures.sent(encode_command("GET", "a") + encode_command("SET", "a", "b"), 2)
    figures.failed(FAMILIES.index("string"), 1)
    figures.answered(FAMILIES.index("string"), 2, 3_000_000, 200_000)
    values = read(exposed(metrics))
    assert values["redisproxy_commands_by_family_total", string] == 2
    assert values["redisproxy_commands_by_family_total", frozenset({("family", "hash")})] == 0
    assert values["redisproxy_errors_by_family_total", string] == 1
    assert values["redisproxy_client_latency_seconds_sum", string] == 0.006
    for name, le, count in (("client", "0.0025", 0), ("client", "0.005", 2), ("uplink", "0.00025", 2)):
        assert values[f"redisproxy_{name}_latency_seconds_bucket", string | {("le", le)}] == count


def test_what_prometheus_reads_keeps_to_its_conventions() -> None:
    metrics = Metrics()
    metrics.flow.figures.answered(0, 1, 1, 1)
    assert read(exposed(metrics)) and lint(exposed(metrics)) == ""


def test_numbers_of_commands_can_be_added_over_processes() -> None:
    one, other = Metrics(), Metrics()
    for metrics in (one, other):
        metrics.flow.figures.answered(3, 5, 1_000_000, 500_000)
    both = summed([one.numbers(), *(command_numbers.of_commands(each.flow) for each in (one, other))])
    list_ = frozenset({("family", FAMILIES[3])})
    operations = OperationFigures()
    values = read(prometheus.render(prometheus.Numbers(both | operations.numbers(), {}, {}, {}), operations.registry))
    assert values["redisproxy_client_latency_seconds_count", list_] == 10


@pytest.mark.parametrize("name", ["clients.open", "uplink.connections_open", "listener.:6379"])
def test_what_is_no_counter_goes_with_its_worker(name: str) -> None:
    assert not is_counter(name) and is_counter("client.string.17") and is_counter("clients.total")


def test_latency_is_told_by_worker_over_all_families() -> None:
    metrics, operations = Metrics(), OperationFigures()
    one = {
        "client.string.0": 4,
        "client.hash.0": 1,
        "client.string.70": 2,
        "client_ns.string": 3 * 10**9,
        "clients.open": 9,
    }
    values = {name: 1 for name, *_ in prometheus.OF_WORKERS}
    numbers = metrics.numbers() | operations.numbers()
    shown = prometheus.Numbers(numbers, {}, {}, {}, {1: values | one, 2: values})
    text = prometheus.render(shown, operations.registry)
    assert lint(text) == ""
    told, name = read(text), "redisproxy_worker_client_latency_seconds"
    assert told[f"{name}_count", frozenset({("worker", "1")})] == 7
    assert told[f"{name}_sum", frozenset({("worker", "1")})] == 3
    assert told[f"{name}_bucket", frozenset({("worker", "1"), ("le", "1e-05")})] == 5
    assert told[f"{name}_count", frozenset({("worker", "2")})] == 0


def test_counters_alone_end_in_total_and_every_metric_says_what_it_is() -> None:
    operations, metrics = OperationFigures(), Metrics()
    operations.observe_pause(0.2)
    values = {name: 1 for name, *_ in prometheus.OF_WORKERS}
    gauges = {"held": 0.0, "in_flight": 0.0, "sentinels": 3.0}
    numbers = metrics.numbers() | operations.numbers()
    text = prometheus.render(prometheus.Numbers(numbers, gauges, {}, {}, {1: values}), operations.registry)
    assert read(text)["redisproxy_worker_restarts_total", frozenset({("worker", "1")})] == 1
    kinds = dict(re.findall(r"^# TYPE redisproxy_(\w+) (\w+)", text.decode(), re.MULTILINE))
    assert {name for name in kinds if name.endswith(("_total", "_created"))} == {
        name for name, kind in kinds.items() if kind == "counter"
    }
    helps = dict(re.findall(r"^# HELP redisproxy_(\w+) (.*)$", text.decode(), re.MULTILINE))
    assert not {name for name, text in helps.items() if text.replace(" ", "_") == name}


def test_a_command_that_took_no_time_at_all_is_shown() -> None:
    shown = {metric.name: metric for metric in command_numbers.collect({f"client.{OTHER}.0": 1})}
    (total,) = [each.value for each in shown["redisproxy_client_latency_seconds"].samples if each.name.endswith("_sum")]
    assert total == 0
