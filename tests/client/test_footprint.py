"""What a client that does nothing costs: there are tens of thousands of them."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from twisted.logger import Logger

from redisproxy.forwarding import twins
from redisproxy.net import few_lines
from redisproxy.resp import encode_command as cmd
from tests.wire import Client, Wire

CLIENTS = 100
MOST_BYTES = 1850
"""Of one client without its transport and its places in tables, which are some 250 more."""

Spoken = list[str]


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> Spoken:
    """What the log is told."""
    lines: Spoken = []
    for level in ("info", "debug"):
        monkeypatch.setattr(Logger, level, lambda self, text, **values: lines.append(text.format(**values)))
    return lines


@pytest.mark.skipif("_native" not in twins.Lane.__module__, reason="the pure twin is not made to be small")
def test_an_idle_client_holds_only_what_it_uses() -> None:
    wire = Wire(max_clients=CLIENTS)
    kept = [wire.factory.protocol_of_new_client() for _ in range(10)]
    gc.collect()
    tracemalloc.start()
    try:
        kept += [wire.factory.protocol_of_new_client() for _ in range(CLIENTS)]
        taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/redisproxy/*")])
    finally:
        tracemalloc.stop()
    assert sum(each.size for each in taken.traces) / CLIENTS <= MOST_BYTES


def test_a_client_that_has_asked_for_a_value_has_no_parts_for_what_few_do(client: Client) -> None:
    client.ask("HELLO", 3)
    client.ask("CLIENT", "SETNAME", "n")
    inside = client.inside
    assert inside._pushes is None and inside._slow_reader is None and inside.received._upload is None


def test_coming_and_going_is_logged_only_when_it_is_asked_for(wire: Wire, spoken: Spoken) -> None:
    wire.client().close()
    assert spoken == []
    wire.core.log_clients = True
    wire.client().close()
    assert [line.split(" from ")[0].split(":")[0] for line in spoken] == ["client 2 connected", "client 2 disconnected"]


def test_why_the_proxy_closes_a_client_is_logged_always(wire: Wire, spoken: Spoken) -> None:
    client = wire.client()
    client.send(b"*x\r\n")
    assert client.closed and len(spoken) == 1
    assert spoken[0].startswith("client 1 disconnected: closed by the proxy (")
    assert spoken[0].endswith(f"), it came from {client.inside.address}") and "127.0.0.1:" in spoken[0]


def test_whoever_can_connect_does_not_fill_the_log(wire: Wire, spoken: Spoken) -> None:
    for _ in range(few_lines.MOST + 30):
        wire.client().send(b"*x\r\n")
    assert len(spoken) == few_lines.MOST and wire.metrics.clients.closed["protocol_error"] == few_lines.MOST + 30
    wire.clock.advance(few_lines.WITHIN_S)
    for _ in range(2):
        wire.client().send(b"*x\r\n")
    assert spoken[-2].endswith(" (and 30 more like it before)") and "before" not in spoken[-1]
    assert len(spoken) == few_lines.MOST + 2


def test_a_slow_reader_is_noticed_by_what_its_transport_tells(wire: Wire, client: Client) -> None:
    producer = client.transport.producer
    assert producer is not None
    producer.pauseProducing()
    client.send(cmd("GET", "a"))
    assert wire.server.got() == b""
    producer.resumeProducing()
    wire.turn()
    client.send(cmd("GET", "b"))
    assert wire.server.got().endswith(cmd("GET", "b"))
