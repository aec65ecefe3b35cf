"""When figures and spans are handed to the exporter; and what they become for a collector."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from redisproxy.config.opentelemetry import OpenTelemetrySettings
from redisproxy.control.errors import Unavailable
from redisproxy.figures.metrics import OperationFigures
from redisproxy.figures.prometheus import Numbers, render
from redisproxy.figures.spans import Span
from redisproxy.telemetry.otlp import metrics_of, spans_of
from redisproxy.telemetry.telemetry import MOST_INSIDE, Telemetry
from redisproxy.telemetry.values import Ended, Moment

pytestmark = pytest.mark.one_twin
COLLECTOR = OpenTelemetrySettings(endpoint="http://127.0.0.1:4318", interval_ms=1000)


class Recorder:
    """In the place of the thread."""

    def __init__(self, settings: OpenTelemetrySettings, reactor: Clock) -> None:
        self.settings, self.closed = settings, False
        self.taken: list[Moment | Ended] = []

    def put(self, what: Moment | Ended) -> None:
        self.taken.append(what)

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class Rig:
    def __init__(self, collector: OpenTelemetrySettings | None = COLLECTOR) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.configuration = SimpleNamespace(settings=SimpleNamespace(opentelemetry=collector))
        self.exclusion = SimpleNamespace(running="")
        self.exporters: list[Recorder] = []
        self.answer: Any = lambda: succeed(b"")
        self.ended = False
        operations = SimpleNamespace(metrics=lambda: self.answer())
        self.control = SimpleNamespace(
            configuration=self.configuration, operations=operations, exclusion=self.exclusion,
            metrics=OperationFigures(), ends=self.ends,
        )  # fmt: skip
        given: Any = (self.control, self.clock, self.start)
        self.telemetry = Telemetry(*given)
        self.telemetry.start()

    def ends(self) -> None:
        self.ended = True

    def start(self, settings: OpenTelemetrySettings, reactor: Clock) -> Recorder:
        self.exporters.append(Recorder(settings, reactor))
        return self.exporters[-1]

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.clock.advance(0.25)


def test_without_a_collector_nothing_is_exported() -> None:
    rig = Rig(None)
    rig.advance(5)
    rig.control.metrics.observe_pause(1)
    assert rig.exporters == []


def test_figures_are_exported_as_often_as_is_set() -> None:
    rig = Rig()
    rig.advance(3.5)
    (exporter,) = rig.exporters
    assert [each.time for each in exporter.taken] == [1000, 1001, 1002, 1003]


def test_a_reload_begins_ends_and_changes_it() -> None:
    rig = Rig(None)
    rig.configuration.settings = SimpleNamespace(opentelemetry=COLLECTOR)
    rig.advance(1)
    rig.configuration.settings = SimpleNamespace(opentelemetry=COLLECTOR.model_copy(update={"interval_ms": 100}))
    rig.advance(1)
    rig.configuration.settings = SimpleNamespace(opentelemetry=None)
    rig.advance(1)
    assert [each.settings.interval_ms for each in rig.exporters] == [1000, 100]
    assert all(each.closed and each.taken for each in rig.exporters)
    before = len(rig.exporters[1].taken)
    rig.control.metrics.observe_pause(1)
    assert len(rig.exporters[1].taken) == before


def test_a_pause_belongs_to_the_move_in_which_it_was() -> None:
    rig = Rig()
    figures, (exporter,) = rig.control.metrics, rig.exporters
    exporter.taken.clear()
    figures.observe_pause(2.0)
    rig.exclusion.running = "reload"
    for _ in range(2 * MOST_INSIDE):
        figures.observe_pause(0.5)
    rig.exclusion.running = ""
    figures.on_span(Span("reload", 1.5))
    figures.on_span(Span("reload", 2.5))
    pause, first, second = exporter.taken
    assert isinstance(pause, Ended) and isinstance(first, Ended) and isinstance(second, Ended)
    assert (pause.span, pause.time, pause.inside) == (Span("pause", 2.0), 1000, ())
    assert first.span.seconds == 1.5 and len(first.inside) == MOST_INSIDE and second.inside == ()


def test_without_figures_it_goes_on() -> None:
    rig = Rig()
    rig.answer = lambda: fail(Unavailable("the data plane is lost"))
    rig.advance(2)
    rig.answer = lambda: succeed(b"")
    rig.advance(1)
    assert len(rig.exporters[0].taken) == 2


def test_it_ends_with_what_it_tells_of() -> None:
    rig = Rig()
    rig.control.ends()
    assert rig.ended and rig.exporters[0].closed and not rig.clock.getDelayedCalls()
    assert rig.telemetry.stop().called


def figures_text() -> bytes:
    operations = OperationFigures()
    operations.observe_pause(0.002)
    numbers = {
        "clients.open": 3, "uplink.connections_open": 2, "flow.commands": 7, "commands.string": 7,
        "client.string.1": 4, "client.string.5": 3, "client_ns.string": 150_000,
    }  # fmt: skip
    shown = Numbers(numbers, {"in_flight": 1}, {"idle": 2}, {}, info={"version": "1"})
    return render(shown, operations.registry)


def test_figures_keep_their_names_labels_and_units() -> None:
    metrics = {each.name: each for each in metrics_of(Moment(figures_text(), 12.5), 5)}
    assert not [name for name in metrics if name.endswith("_created")]
    commands: Any = metrics["redisproxy_commands"].data
    assert commands.is_monotonic and commands.data_points[0].value == 7
    assert commands.data_points[0].time_unix_nano == 12_500_000_000
    assert commands.data_points[0].start_time_unix_nano == 5
    closed: Any = metrics["redisproxy_clients_closed"].data.data_points[0]
    assert (closed.attributes, closed.value) == ({"reason": "idle"}, 2)
    open_now: Any = metrics["redisproxy_clients_open"].data
    assert type(open_now).__name__ == "Gauge" and open_now.data_points[0].value == 3
    latency = metrics["redisproxy_client_latency_seconds"]
    points: Any = latency.data.data_points
    (point,) = points
    assert latency.unit == "s" and point.attributes == {"family": "string"} and point.count == 7
    assert point.sum == pytest.approx(150e-6) and sum(point.bucket_counts) == 7
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1 and list(point.explicit_bounds)[:2] == [
        1e-5,
        2.5e-5,
    ]
    assert list(point.bucket_counts)[:3] == [0, 4, 3]
    pauses: Any = metrics["redisproxy_pause_seconds"].data.data_points[0]
    assert pauses.count == 1 and pauses.sum == pytest.approx(0.002)


def test_a_move_is_a_span_with_its_steps_and_pauses_in_it() -> None:
    steps = ("preflight", 1.0), ("drain", 0.5)
    span = Span("switchover", 2.0, "too late", {"to": "10.0.0.2:6379", "pause_ms": 12.5}, steps)
    inside = (Ended(Span("pause", 0.5), 109.9),)
    whole, *parts = spans_of(Ended(span, 110.0, inside), Resource({}))
    assert (whole.start_time, whole.end_time) == (108_000_000_000, 110_000_000_000)
    assert whole.attributes == {"redisproxy.to": "10.0.0.2:6379", "redisproxy.pause_ms": 12.5}
    assert not whole.status.is_ok and whole.status.description == "too late"
    assert [(each.name, each.start_time, each.end_time) for each in parts] == [
        ("preflight", 108_000_000_000, 109_000_000_000),
        ("drain", 109_000_000_000, 109_500_000_000),
        ("pause", 109_400_000_000, 109_900_000_000),
    ]
    assert whole.context is not None and all(each.parent is whole.context for each in parts)
    assert len({each.context.span_id for each in (whole, *parts) if each.context is not None}) == 4
