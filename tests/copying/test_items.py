"""Sums of items, and how much of a value is read at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from redisproxy.copying.items import PIECE_BYTES, Item, PieceSize, Sum

items = st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), max_size=12)


def digest(*pieces: list[Item]) -> bytes:
    total = Sum()
    for piece in pieces:
        total.add(piece)
    return total.digest()


@given(st.data(), items)
def test_neither_order_nor_pieces_matter(data: st.DataObject, value: list[Item]) -> None:
    shuffled = data.draw(st.permutations(value))
    at = data.draw(st.integers(0, len(value)))
    assert digest(value) == digest(shuffled[:at], shuffled[at:])


@given(items, items)
def test_values_that_differ_have_different_digests(one: list[Item], other: list[Item]) -> None:
    assert (digest(one) == digest(other)) == (sorted(one) == sorted(other))


def test_where_an_item_is_divided_matters() -> None:
    assert digest([(b"a", b"bc")]) != digest([(b"ab", b"c")]) != digest([(b"abc",)])


def test_pieces_become_larger_step_by_step_and_not_too_large() -> None:
    size = PieceSize()
    counts = [size.count]
    for _ in range(4):
        size.took([(b"x",)] * size.count)
        counts.append(size.count)
    assert counts == [16, 128, 1024, 4096, 4096]


def test_large_items_are_read_one_at_a_time() -> None:
    size = PieceSize()
    size.took([(b"x" * PIECE_BYTES,)] * size.count)
    assert size.count == 1
    size.took([])
    assert size.count == 1
