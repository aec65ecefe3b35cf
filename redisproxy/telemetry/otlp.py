"""What figures and spans are for a collector, by OpenTelemetry's libraries. Imported in the exporter's thread only.

Names, labels and units are those of C{/metrics}; the exporters read the usual environment variables
(C{OTEL_EXPORTER_OTLP_HEADERS}, C{OTEL_EXPORTER_OTLP_CERTIFICATE}, C{OTEL_RESOURCE_ATTRIBUTES} and the like).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client.parser import text_string_to_metric_families

import redisproxy
from redisproxy.telemetry.bounded_answers import session
from redisproxy.telemetry.values import Ended, Moment

TIMEOUT_S = 5
"""For one export with all its attempts."""
_UNITS = {"seconds": "s", "bytes": "By"}
_SCOPE = InstrumentationScope("redisproxy", redisproxy.__version__)
_IDS = RandomIdGenerator()


class _LastError(logging.Handler):
    """Keeps why the last export failed, of what the library would else print."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


class Collector:
    """One collector. @param endpoint: its address, to which the usual paths are added."""

    def __init__(self, endpoint: str) -> None:
        self._why = _LastError(logging.WARNING)
        library = logging.getLogger("opentelemetry")
        library.handlers, library.propagate = [self._why], False
        base, began = endpoint.rstrip("/"), time.time()
        # A provider of credentials that the environment names brings a session of its own.
        asking = None if any(name.endswith("_CREDENTIAL_PROVIDER") for name in os.environ) else session()
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics", timeout=TIMEOUT_S, session=asking)
        self._spans = OTLPSpanExporter(f"{base}/v1/traces", timeout=TIMEOUT_S, session=asking)
        self._began_ns = _ns(began)
        self._resource = Resource.create(
            {
                "service.name": "redisproxy",
                "service.version": redisproxy.__version__,
                "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            }
        )

    def take(self, what: Moment | Ended) -> str:
        """Export this; why it could not be, empty when it was."""
        self._why.text = ""
        if isinstance(what, Moment):
            good = self._metrics.export(self._data(what)) is MetricExportResult.SUCCESS
        else:
            good = self._spans.export(list(spans_of(what, self._resource))) is SpanExportResult.SUCCESS
        return "" if good else self._why.text or "it refuses"

    def close(self) -> None:
        """Close the connections."""
        self._metrics.shutdown()
        self._spans.shutdown()  # type: ignore[no-untyped-call]

    def _data(self, moment: Moment) -> MetricsData:
        metrics = list(metrics_of(moment, self._began_ns))
        return MetricsData([ResourceMetrics(self._resource, [ScopeMetrics(_SCOPE, metrics, "")], "")])


def metrics_of(moment: Moment, began_ns: int) -> Iterator[Metric]:
    """All figures. @param began_ns: since when they are counted."""
    now = _ns(moment.time)
    for family in text_string_to_metric_families(moment.text.decode()):
        if family.name.endswith("_created") or not family.samples:
            continue
        unit = _UNITS.get(family.name.rpartition("_")[2], "")
        data: Any
        if family.type == "histogram":
            data = Histogram(list(_histograms(family.samples, began_ns, now)), AggregationTemporality.CUMULATIVE)
        else:
            points = [NumberDataPoint(each.labels, began_ns, now, each.value) for each in family.samples]
            data = Sum(points, AggregationTemporality.CUMULATIVE, True) if family.type == "counter" else Gauge(points)
        yield Metric(family.name, family.documentation, unit, data)


def _histograms(samples: Iterable[Any], began_ns: int, now: int) -> Iterator[HistogramDataPoint]:
    """One for each set of labels."""
    each: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in samples:
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        each.setdefault(labels, {})[sample.labels.get("le", sample.name.rpartition("_")[2])] = sample.value
    for labels, values in each.items():
        count, total = int(values.pop("count")), values.pop("sum")
        sums = [0, *(int(value) for value in values.values())]
        counts = [after - before for before, after in pairwise(sums)]
        bounds = [float(bound) for bound in values if bound != "+Inf"]
        # What was the least and the most is not known.
        unknown: Any = None
        yield HistogramDataPoint(dict(labels), began_ns, now, count, total, counts, bounds, unknown, unknown)


def spans_of(ended: Ended, resource: Resource) -> Iterator[ReadableSpan]:
    """The span, and those of its steps and of what is in it."""
    parent = SpanContext(_IDS.generate_trace_id(), _IDS.generate_span_id(), False, TraceFlags(TraceFlags.SAMPLED))
    yield _span(ended, parent, None, resource)
    at = ended.time - ended.span.seconds
    for name, seconds in ended.span.steps:
        at += seconds
        step = Ended(type(ended.span)(name, seconds), min(at, ended.time))
        yield _span(step, _beside(parent), parent, resource)
    for each in ended.inside:
        yield _span(each, _beside(parent), parent, resource)


def _beside(parent: SpanContext) -> SpanContext:
    return SpanContext(parent.trace_id, _IDS.generate_span_id(), False, parent.trace_flags)


def _span(ended: Ended, context: SpanContext, parent: SpanContext | None, resource: Resource) -> ReadableSpan:
    span = ended.span
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=parent,
        resource=resource,
        attributes={f"redisproxy.{name}": value for name, value in span.attributes.items()},
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.OK),
        start_time=_ns(ended.time - span.seconds),
        end_time=_ns(ended.time),
        instrumentation_scope=_SCOPE,
    )


def _ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
