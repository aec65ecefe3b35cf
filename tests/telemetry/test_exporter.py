"""The thread that exports, with the real libraries."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from redisproxy.config.opentelemetry import OpenTelemetrySettings
from redisproxy.telemetry.exporter import Exporter
from redisproxy.telemetry.values import Moment
from tests.end_to_end.test_opentelemetry import Collector

pytestmark = pytest.mark.one_twin
LIMIT_S = 30
PROVIDER = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_METRICS_CREDENTIAL_PROVIDER"


class Reactor(Clock):
    """What the thread asks for is done when the test waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.Queue[Callable[[], None]] = queue.Queue()

    def callFromThread(self, call: Callable[..., None], *args: Any) -> None:
        self._calls.put(lambda: call(*args))

    def one_call(self) -> None:
        self._calls.get(timeout=LIMIT_S)()


@pytest.fixture
def said() -> Iterator[list[str]]:
    texts: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        if str(event.get("log_namespace")).startswith("redisproxy.telemetry"):
            texts.append(formatEvent(event))

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    yield texts
    globalLogPublisher.removeObserver(observer)


def test_libraries_that_refuse_what_the_environment_says_are_tried_again(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    collector, reactor = Collector(), Reactor()
    exporter = Exporter(OpenTelemetrySettings(endpoint=f"http://127.0.0.1:{collector.server_port}"), reactor)
    monkeypatch.setenv(PROVIDER, "nonsense")
    moment = Moment(b"# HELP a b\n# TYPE a gauge\na 1.0\n", 1.0)
    for _ in range(2):
        exporter.put(moment)
        reactor.one_call()
    assert len(said) == 1 and "takes nothing: RuntimeError" in said[0] and not collector.figures
    monkeypatch.delenv(PROVIDER)
    exporter.put(moment)
    reactor.one_call()
    assert "takes figures again" in said[1] and len(collector.figures) == 1
    closed = exporter.close()
    reactor.one_call()
    assert closed.called and not reactor.getDelayedCalls()
    collector.shutdown()
    collector.server_close()
