"""Which argument of a command may be shown as its key."""

from __future__ import annotations

import pytest

from redisproxy.figures.keys import key_of
from redisproxy.figures.slow_log import shown
from redisproxy.resp import encode_command
from redisproxy.resp.command_beginning import beginning_of


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("GET k", "k"),
        ("set k secret", "k"),
        ("HSET k f secret", "k"),
        ("BITOP AND k a b", "k"),
        ("OBJECT ENCODING k", "k"),
        ("XREADGROUP GROUP g c COUNT 5 STREAMS k >", "k"),
        ("XREADGROUP GROUP STREAMS STREAMS STREAMS k >", "k"),
        ("XREADGROUP COUNT 5 GROUP streams c BLOCK 0 NOACK STREAMS k >", "k"),
        ("XREADGROUP GROUP STREAMS secret", ""),
        ("XREADGROUP GROUP STREAMS", ""),
        ("XREAD COUNT 5", ""),
        ("ZUNION 2 k b", "k"),
        ("EVAL script 1 k secret", "k"),
        ("EVAL script 0 secret", ""),
        ("EVALSHA hash", ""),
        ("ECHO secret", ""),
        ("PING secret", ""),
        ("PUBLISH channel secret", ""),
        ("CONFIG SET requirepass secret", ""),
        ("NOBODY.KNOWS secret", ""),
        ("KEYS secret*", ""),
        ("GET", ""),
    ],
)
def test_a_key_is_what_is_known_to_be_one(command: str, key: str) -> None:
    assert key_of([word.encode() for word in command.split()]) == key.encode()


def test_no_command_has_no_key() -> None:
    assert key_of([]) == b""


def test_a_command_is_found_in_a_pipeline_also_when_only_its_beginning_was_kept() -> None:
    run = encode_command("SET", "a", "v" * 50) + encode_command("GET", "key-of-it")
    assert beginning_of(run, 1) == [b"GET", b"key-of-it"]
    assert beginning_of(run[:-5], 1) == [b"GET", b"key-of"]
    assert beginning_of(run[:40], 0)[:2] == [b"SET", b"a"]
    assert beginning_of(encode_command("GET", "a")[:10], 0) == []
    assert beginning_of(run[:40], 1) == beginning_of(run, 2) == beginning_of(b"", 0) == []
    for end in range(len(run)):
        for number in range(3):
            beginning_of(run[:end], number)
    assert len(beginning_of(encode_command("DEL", *"k" * 5000), 0)) == 64


def test_hostile_bytes_are_shown_as_what_can_be_printed() -> None:
    assert shown(b"key:\xc3\xa4") == "key:ä"
    assert shown(b"\x1b[31m\n\xff\x00") == r"\x1b[31m\n\xff\x00"
