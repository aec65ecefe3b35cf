"""A real collector gets figures and spans from a real proxy; one that is down harms nobody, and is told of once."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.end_to_end.harness import Proxy, RedisServer, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.one_twin]


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/metrics":
            self.server.figures.append(ExportMetricsServiceRequest.FromString(body))
        elif self.path == "/v1/traces":
            self.server.traces.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.figures: list[Any] = []
        self.traces: list[Any] = []
        super().__init__(("127.0.0.1", port), Receiver)
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the last export, by name."""
        (resource,) = self.figures[-1].resource_metrics
        return {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}

    @property
    def spans(self) -> list[Any]:
        scopes = [scope for each in self.traces for resource in each.resource_spans for scope in resource.scope_spans]
        return [span for scope in scopes for span in scope.spans]


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.shutdown()
    collector.server_close()


@pytest.fixture(scope="module")
def proxy(collector: Collector) -> Iterator[Proxy]:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    with (
        RedisServer() as server,
        Proxy(server.uplink, opentelemetry={"endpoint": endpoint, "interval_ms": 200}) as proxy,
    ):
        yield proxy


def test_figures_arrive_with_their_families(proxy: Proxy, collector: Collector) -> None:
    client = proxy.client()
    for _ in range(10):
        client.set("a", 1)

    def counted() -> bool:
        found = collector.metrics.get("redisproxy_client_latency_seconds") if collector.figures else None
        points = found.histogram.data_points if found is not None else ()
        counts = {point.attributes[0].value.string_value: point.count for point in points}
        return counts.get("string", 0) >= 10

    wait_until(counted, "the latencies of ten commands have arrived")
    assert collector.metrics["redisproxy_commands"].sum.is_monotonic
    assert collector.metrics["redisproxy_clients_open"].gauge.data_points[0].as_double >= 1
    (resource,) = collector.figures[-1].resource_metrics
    told = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert told["service.name"] == "redisproxy" and told["service.version"]


def test_a_move_is_a_span_with_the_pause_in_it(proxy: Proxy, collector: Collector) -> None:
    proxy.do("reload")
    wait_until(lambda: any(each.name == "reload" for each in collector.spans), "the span of the reload has arrived")
    (reload,) = [each for each in collector.spans if each.name == "reload"]
    (pause,) = [each for each in collector.spans if each.parent_span_id == reload.span_id]
    assert pause.name == "pause" and pause.trace_id == reload.trace_id and reload.status.code == 1
    assert reload.start_time_unix_nano <= pause.start_time_unix_nano + 1_000_000
    assert pause.end_time_unix_nano <= reload.end_time_unix_nano + 1_000_000
    assert proxy.admin("switchover")[0] != 200
    wait_until(lambda: any(each.name == "switchover" for each in collector.spans), "one that is refused is one, too")
    (refused,) = [each for each in collector.spans if each.name == "switchover"]
    assert refused.status.code == 2 and refused.status.message


def test_a_collector_that_is_down_is_told_of_once_and_is_found_when_it_is_back(
    proxy: Proxy, collector: Collector
) -> None:
    port = collector.server_port
    collector.shutdown()
    collector.server_close()
    said = f"the collector at http://127.0.0.1:{port} takes nothing"
    wait_until(lambda: said in proxy.log, "the log tells of it")
    client = proxy.client()
    for _ in range(10):
        assert client.ping()
    again = Collector(port)
    wait_until(lambda: bool(again.figures), "the collector gets figures again")
    wait_until(lambda: "takes figures again" in proxy.log, "the log tells of it")
    assert proxy.log.count(said) == 1
    again.shutdown()
    again.server_close()
