"""What differs, in words."""

from __future__ import annotations

import pytest

from redisproxy.copying.differences import is_unread, names_tell, why_counts_differ, why_different
from redisproxy.copying.digest import UNREAD, Digest
from redisproxy.copying.keyspace import KeyCount

NONE = Digest("none", UNREAD, None)


def string(value: bytes = b"1", *expires_ms: int) -> Digest:
    return Digest("string", value, (expires_ms[0], expires_ms[-1]) if expires_ms else None)


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        (string(), string(), ""),
        (NONE, NONE, ""),
        (string(), NONE, "missing"),
        (NONE, string(), "extra"),
        (string(), Digest("set", b"1", None), "type: set, not string"),
        (string(), string(b"2"), "value"),
        (string(b"1", 100), string(b"1", 100), ""),
        (string(b"1", 100), string(b"1", 112), "TTL: 12 ms longer"),
        (string(b"1", 100), string(b"2", 97), "TTL: 3 ms shorter, value"),
        (string(b"1", 100), string(), "TTL: none"),
        (string(), string(b"1", 100), "TTL: has one"),
        (string(b"1", 98, 101), string(b"1", 100), ""),
        (string(b"1", 98, 99), string(b"1", 100), "TTL: 1 ms longer"),
        (string(UNREAD), string(), ""),
    ],
)
def test_a_difference_has_its_words(source: Digest, target: Digest, why: str) -> None:
    assert why_different(source, target) == why


def test_a_value_that_was_not_read_is_told_from_one_that_is_the_same() -> None:
    assert is_unread(string(UNREAD), string()) and is_unread(string(), string(UNREAD))
    assert not is_unread(string(), string()) and not is_unread(NONE, NONE) and not is_unread(string(UNREAD), NONE)


@pytest.mark.parametrize(
    ("source", "target", "why"),
    [
        (KeyCount(10, 2), KeyCount(10, 2), ""),
        (KeyCount(10, 2), KeyCount(9, 2), "keys without a time to live: 7, not 8"),
        (KeyCount(10000, 10000), KeyCount(8000, 8000), ""),
        (KeyCount(10000, 10000), KeyCount(7000, 7000), "keys with a time to live: 7000, not 10000"),
        (KeyCount(10000, 100), KeyCount(9900), ""),
        (KeyCount(10000, 101), KeyCount(9899), "keys with a time to live: 0, not 101"),
        (KeyCount(100, 100), KeyCount(1, 1), ""),
        (KeyCount(10000, 0, 2), KeyCount(9998), ""),
        (KeyCount(10000, 0, 2), KeyCount(9997), "keys without a time to live: 9997, not 10000"),
        (KeyCount(10, 0, 1), KeyCount(9), ""),
        (KeyCount(), KeyCount(3), "keys without a time to live: 3, not 0"),
    ],
)
def test_numbers_of_keys_differ_but_for_what_has_expired(source: KeyCount, target: KeyCount, why: str) -> None:
    assert why_counts_differ(source, target) == why


def test_of_few_keys_with_a_time_to_live_the_names_tell() -> None:
    assert names_tell(KeyCount(100, 2), KeyCount(99, 1)) and names_tell(KeyCount(10, 0, 1), KeyCount(9))
    assert not names_tell(KeyCount(100, 2), KeyCount(100, 2))
    assert not names_tell(KeyCount(3000, 2), KeyCount(2999, 1))
