"""Scripts that are remembered for the next server."""

from __future__ import annotations

from redisproxy.shared.script_cache import ScriptCache


def test_bodies_of_eval_and_script_load_are_kept() -> None:
    cache = ScriptCache(100)
    cache.see([b"eval", b"return 1", b"0"])
    cache.see([b"EVAL_RO", b"return 2", b"0"])
    cache.see([b"script", b"load", b"return 3"])
    cache.see([b"SCRIPT", b"EXISTS", b"x"])
    cache.see([b"EVAL"])
    assert cache.missing({b"return 2"}) == [b"return 1", b"return 3"]


def test_the_longest_unused_ones_go_when_there_are_too_many_bytes() -> None:
    cache = ScriptCache(10)
    for body in (b"aaaaa", b"bbbbb", b"aaaaa", b"cc", b"x" * 11):
        cache.see([b"EVAL", body, b"0"])
    assert cache.missing(set()) == [b"aaaaa", b"cc"]


def test_those_of_another_are_kept_within_the_same_bound() -> None:
    cache = ScriptCache(10)
    cache.see([b"EVAL", b"aaaaa", b"0"])
    cache.learn([b"x" * 11, b"bbb", b"aaaaa"])
    assert cache.bodies == (b"bbb", b"aaaaa")
    cache.learn([b"ccc"])
    assert cache.bodies == (b"aaaaa", b"ccc")


def test_script_flush_forgets_them() -> None:
    cache = ScriptCache(10)
    cache.see([b"EVAL", b"a", b"0"])
    cache.see([b"SCRIPT", b"FLUSH", b"ASYNC"])
    assert len(cache) == 0
    cache.see([b"EVAL", b"x" * 10, b"0"])
    assert len(cache) == 1
