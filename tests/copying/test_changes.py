"""Names that wait to be copied: each once, in order, within bounds."""

from __future__ import annotations

from redisproxy.copying.changes import NAME_COST_BYTES, Changes


def test_names_come_out_once_and_the_oldest_first() -> None:
    changes = Changes()
    changes.add([b"a", b"b", b"a", b"c"])
    assert len(changes) == 3 and b"b" in changes
    assert changes.take(2) == [b"a", b"b"] and changes.take(2) == [b"c"] and changes.take(2) == []
    assert changes.none


def test_a_change_after_a_name_was_taken_is_a_change_again() -> None:
    changes = Changes()
    changes.add([b"a"])
    assert changes.take(1) == [b"a"]
    changes.add([b"a"])
    assert not changes.none and changes.take(1) == [b"a"]


def test_too_many_names_mean_everything() -> None:
    changes = Changes(max_bytes=10 * NAME_COST_BYTES)
    changes.add([b"%d" % at for at in range(9)])
    assert not changes.everything and 0.9 < changes.fullness < 1
    changes.add([b"one", b"more"])
    assert changes.everything and len(changes) == 0 and changes.fullness == 0 and not changes.none


def test_a_flush_is_something_left_to_do() -> None:
    changes = Changes()
    changes.flushed = True
    assert not changes.none
