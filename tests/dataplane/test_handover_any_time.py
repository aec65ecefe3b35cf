"""Handing a client over at any point of any conversation changes nothing of what it gets."""

from __future__ import annotations

import re

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.resp import encode_command as cmd
from tests.dataplane.simulated import HELD_BYTES, Scene

QUIET_S = 4.0
PUSHED_S = 0.02
"""When somebody else pushes an element for who blocks."""
KEYS = st.sampled_from(["a", "b"])
INVALIDATION = re.compile(rb">2\r\n\$10\r\ninvalidate\r\n(?:_|\*1\r\n\$\d+\r\n\w+)\r\n")


def one_of(*texts: str) -> st.SearchStrategy[bytes]:
    return st.sampled_from([cmd(*text.split()) for text in texts])


PLAIN = one_of(
    "GET a", "SET a 1", "INCR a", "GET b", "SET b 2", "RPUSH l x y", "LPOP l", "LLEN l", "LRANGE l 0 -1", "ECHO e",
    "PING", "GET l", "SELECT 1", "SELECT 0",
)  # fmt: skip
OWN = one_of(
    "CLIENT SETNAME n", "CLIENT GETNAME", "CLIENT ID", "CLIENT SETNAME", "ACL WHOAMI", "AUTH x", "HELLO 2", "HELLO 3",
    "RESET", "CLIENT REPLY ON", "CLIENT REPLY OFF", "CLIENT REPLY SKIP", "SUBSCRIBE",
)  # fmt: skip
TRANSACTION = one_of("MULTI", "EXEC", "DISCARD", "WATCH a", "WATCH a b", "UNWATCH", "EXEC", "MULTI")
WRONG = one_of("NONSENSE x", "ECHO", "MULTI x", "SELECT 99", "SELECT x")
"""Not inside of MULTI: once EXEC can't succeed any more, the next one is answered with QUEUED, as after a reload."""
BLOCKING = one_of("BLPOP q 0.5", "BLPOP q l 0.5", "BLPOP none 0.1", "WAIT 0 0")
MESSAGES = one_of(
    "SUBSCRIBE c", "SUBSCRIBE c d", "PSUBSCRIBE c*", "SSUBSCRIBE c", "UNSUBSCRIBE", "UNSUBSCRIBE c", "PUNSUBSCRIBE",
    "SUNSUBSCRIBE", "PUBLISH c hello", "SPUBLISH c hello", "PING", "PING x",
)  # fmt: skip
TRACKING = one_of(
    "CLIENT TRACKING ON", "CLIENT TRACKING ON BCAST", "CLIENT TRACKING OFF", "CLIENT TRACKING ON OPTIN",
    "CLIENT CACHING YES",
)  # fmt: skip
ODD = st.sampled_from([b"GET a\r\n", b"\r\n", b"*0\r\n", b"PING\n", cmd("SET", "big", b"x" * (HELD_BYTES + 500))])
WATCHERS = st.lists(PLAIN | OWN | TRANSACTION | ODD, max_size=14)
BLOCKERS = st.lists(PLAIN | OWN | WRONG | BLOCKING | ODD, max_size=14)
"""Not while a key is watched: the connection of a command that was called back is closed, and the WATCH with it."""
CACHERS = st.lists(PLAIN | OWN | TRANSACTION | TRACKING | ODD, max_size=14)
SUBSCRIBERS = st.lists(PLAIN | OWN | WRONG | MESSAGES | BLOCKING | ODD, max_size=14)


def conversation(stream: bytes, cut: int, gap_s: float, seed: int, hand_over: bool) -> tuple[bytes, bool]:
    """What a client gets that sends `stream`, cut once, and whether it is disconnected."""
    scene = Scene(seed)
    peer = scene.connect()
    scene.at(PUSHED_S, scene.somebody, b"RPUSH", b"q", b"element")
    scene.at(0.001, peer.end.write, stream[:cut])
    scene.at(0.001 + gap_s, peer.end.write, stream[cut:])
    over: list[object] = []
    if hand_over:
        scene.at(0.001 + gap_s * 0.7, lambda: over.append(scene.hand_over()))
    scene.run(QUIET_S)
    scene.nothing_is_left()
    if hand_over:
        assert over[0] == [{}] or peer.gone, over
        assert not len(scene.old.registry)
    return peer.got, peer.gone


def bare(data: bytes) -> bytes:
    """Without what the client is told about its cache, which it has to forget."""
    return INVALIDATION.sub(b"", data.replace(INVALIDATE_ALL, b""))


@pytest.mark.parametrize(
    "commands", [WATCHERS, BLOCKERS, CACHERS, SUBSCRIBERS], ids=["watchers", "blockers", "cachers", "subscribers"]
)
def test_the_replies_are_the_same(commands: st.SearchStrategy[list[bytes]]) -> None:
    @settings(max_examples=300, deadline=None)
    @given(commands, st.data(), st.sampled_from([0.0, 0.0006, 0.004, 0.05, 0.3]), st.integers(0, 3))
    def check(parts: list[bytes], data: st.DataObject, gap_s: float, seed: int) -> None:
        stream = b"".join(parts)
        cut = data.draw(st.integers(0, len(stream)))
        expected, gone = conversation(stream, cut, gap_s, seed, hand_over=False)
        got, was_gone = conversation(stream, cut, gap_s, seed, hand_over=True)
        event(f"{'gone' if gone else 'stays'}, {len(expected) // 100}00 bytes")
        assert bare(got) == bare(expected)
        assert gone == was_gone

    check()


@pytest.mark.parametrize("seed", range(6))
def test_counts_of_subscriptions_do_not_include_the_marker(seed: int) -> None:
    stream = cmd("SUBSCRIBE", "c") + cmd("SSUBSCRIBE", "c")
    assert conversation(stream, 26, 0.004, seed, True) == conversation(stream, 26, 0.004, seed, False)
