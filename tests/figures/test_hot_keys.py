"""Hot keys and large replies: what sampling finds, what it never tells, and its bounds."""

from __future__ import annotations

import time

import pytest

from redisproxy.figures.hot_keys import WINDOW_S, BigReply, Hot, HotKey, HotKeys, together
from redisproxy.figures.sketches import Sketches
from redisproxy.resp import encode_command as cmd
from tests.wire import Client, Wire


def begin(wire: Wire, sample: int = 1, kept: int = 100) -> HotKeys:
    """Sample, once the library is loaded."""
    wire.core.hot_keys.apply(sample, kept)
    until = time.monotonic() + 60
    while not wire.core.hot_keys._sketches.ready and time.monotonic() < until:
        time.sleep(0.01)
    wire.core.hot_keys._random.seed(7)
    return wire.core.hot_keys


@pytest.fixture
def client(wire: Wire) -> Client:
    """A client that has had a reply, so that its commands go straight."""
    client = wire.client_with_a_reply()
    client.inside.lane.limit = 100_000
    return client


def ask(wire: Wire, client: Client, *commands: bytes, reply: bytes = b"$-1\r\n") -> None:
    """Send these at once, and have them answered."""
    client.send(b"".join(commands))
    wire.server.send(reply * len(commands))


def test_keys_are_told_by_how_often_they_are_used(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire)
    for number in range(10):
        ask(wire, client, cmd("GET", "hot"))
        if number % 2:
            ask(wire, client, cmd("HSET", "h", "f", "secret"), reply=b":1\r\n")
    ask(wire, client, cmd("PING"), reply=b"+PONG\r\n")
    wire.advance(9)
    hot = hot_keys.hot()
    assert [(each.key, each.family) for each in hot.keys] == [("hot", "string"), ("h", "hash")]
    assert hot.keys[0].commands_per_s == pytest.approx(10 / 9, abs=0.01)
    assert hot.sampled == 16 and hot.commands_per_s == pytest.approx(16 / 9, abs=0.01)
    assert "secret" not in repr(hot)


def test_one_of_so_many_commands_is_looked_at_whatever_rhythm_they_come_in(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire, sample=10)
    for _ in range(2000):
        ask(wire, client, cmd("GET", "a"))
        ask(wire, client, cmd("GET", "b"))
    wire.advance(10)
    rates = {each.key: each.commands_per_s for each in hot_keys.hot().keys}
    assert rates["a"] == pytest.approx(200, rel=0.3) and rates["b"] == pytest.approx(200, rel=0.3)


def test_pipelines_count_with_all_their_commands(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire, sample=10)
    for _ in range(200):
        ask(wire, client, *(cmd("GET", "a"), cmd("LLEN", "b"), cmd("GET", "c")) * 15)
    wire.advance(10)
    hot = hot_keys.hot()
    assert hot.commands_per_s == pytest.approx(900, rel=0.15)
    assert {(each.key, each.family) for each in hot.keys} == {("a", "string"), ("b", "list"), ("c", "string")}
    assert all(each.commands_per_s == pytest.approx(300, rel=0.5) for each in hot.keys)


def test_of_a_pipeline_the_reply_to_the_command_is_measured(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire)
    large = b"$5000\r\n" + b"x" * 5000 + b"\r\n"
    for _ in range(20):
        client.send(cmd("GET", "small") + cmd("GET", "large") + cmd("LLEN", "none"))
        replies = b"$1\r\nx\r\n" + large + b":0\r\n"
        for at in range(0, len(replies), 1100):
            wire.server.send(replies[at : at + 1100])
        assert client.got() == replies
    told = {(each.command, each.key): each.bytes for each in hot_keys.hot().replies}
    assert told == {("GET", "small"): 7, ("GET", "large"): len(large), ("LLEN", "none"): 4}
    assert hot_keys.hot().replies[0].key == "large"


def test_of_a_pipeline_that_was_cut_by_a_push_as_well(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire)
    for _ in range(20):
        client.send(cmd("GET", "a") + cmd("GET", "b") + cmd("GET", "c"))
        wire.server.send(b"$3\r\na")
        queue = client.inside.lane.queue
        assert queue is not None and queue.amid(client.inside)
        wire.server.send(b"bc\r\n$10\r\n")
        wire.server.send(b"x" * 10 + b"\r\n$-1\r\n")
    assert {each.key: each.bytes for each in hot_keys.hot().replies} == {"a": 9, "b": 17, "c": 5}


def test_what_is_told_is_of_the_last_two_minutes(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire)
    ask(wire, client, cmd("GET", "old"))
    wire.advance(WINDOW_S)
    ask(wire, client, cmd("GET", "new"))
    assert {each.key for each in hot_keys.hot().keys} == {"old", "new"}
    wire.advance(WINDOW_S)
    assert [each.key for each in hot_keys.hot().keys] == ["new"]
    wire.advance(2 * WINDOW_S)
    assert hot_keys.hot() == Hot(sample=1)


def test_it_is_bounded_whatever_the_keys_are(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire, kept=5)
    for number in range(500):
        key = b"\xff\x1b" + b"k" * 3000 + str(number).encode()
        ask(wire, client, cmd("GET", str(number)), cmd("GET", key))
    (window,) = hot_keys._windows
    assert window.sketch.num_active_items <= 64 and len(window.replies) == 5
    hot = hot_keys.hot()
    assert len(hot.keys) == 5 and len(hot.replies) == 5
    assert all(each.key.isprintable() and len(each.key) <= 512 for each in hot.keys)


def test_the_largest_replies_are_kept(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire, kept=3)
    for size in (5, 900, 30, 700, 1, 800, 2):
        ask(wire, client, cmd("GET", f"of {size}"), reply=b"$%d\r\n%b\r\n" % (size, b"x" * size))
    assert [each.key for each in hot_keys.hot().replies] == ["of 900", "of 800", "of 700"]


def test_nothing_is_sampled_before_it_is_turned_on_nor_after_it_was_turned_off(wire: Wire, client: Client) -> None:
    hot_keys = wire.core.hot_keys
    ask(wire, client, cmd("GET", "a"))
    assert hot_keys.hot() == Hot() and wire.metrics.flow.until_sample == 0
    begin(wire)
    ask(wire, client, cmd("GET", "a"))
    assert hot_keys.hot().sampled == 1
    hot_keys.apply(0, 100)
    ask(wire, client, cmd("GET", "a"))
    assert hot_keys.hot() == Hot() and wire.metrics.flow.until_sample == 0


def test_a_reload_that_changes_nothing_of_it_forgets_nothing(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire)
    ask(wire, client, cmd("GET", "a"))
    hot_keys.apply(1, 100)
    assert [each.key for each in hot_keys.hot().keys] == ["a"]


def test_a_reply_that_comes_after_it_was_turned_off_harms_nobody(wire: Wire, client: Client) -> None:
    hot_keys = begin(wire)
    client.send(cmd("GET", "a"))
    hot_keys.apply(0, 100)
    wire.server.send(b"$-1\r\n")
    assert client.got() == b"$-1\r\n" and hot_keys.hot() == Hot()


def test_until_the_library_is_loaded_nothing_is_sampled(
    wire: Wire, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sketches, "ready", property(lambda sketches: False))
    wire.core.hot_keys.apply(1, 100)
    for _ in range(3):
        ask(wire, client, cmd("GET", "a"))
        assert client.got() == b"$-1\r\n"
    assert wire.core.hot_keys.hot() == Hot(sample=1)


def test_what_workers_have_found_is_added() -> None:
    one = Hot(10, 5, 50.0, (HotKey("a", "string", 30.0), HotKey("b", "hash", 20.0)), (BigReply(9, "GET", "a", 1.0),))
    two = Hot(10, 2, 25.0, (HotKey("b", "hash", 15.0),), (BigReply(12, "GET", "a", 2.0), BigReply(3, "GET", "z", 2.0)))
    assert together([one, two], 2) == Hot(
        10, 7, 75.0, (HotKey("b", "hash", 35.0), HotKey("a", "string", 30.0)),
        (BigReply(12, "GET", "a", 2.0), BigReply(3, "GET", "z", 2.0)),
    )  # fmt: skip
    assert together([], 2) == Hot()
