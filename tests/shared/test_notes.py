"""What is noted of changes that no server tells of, and its bounds."""

from __future__ import annotations

import pytest

from redisproxy.commands.changed_keys import EVERYTHING, FLUSHED, FUNCTIONS, Change
from redisproxy.shared.notes import Noted, Notes


@pytest.fixture
def notes() -> Notes:
    notes = Notes(max_keys=3, max_bytes=100)
    notes.begin()
    return notes


def test_each_key_is_told_once_with_its_database(notes: Notes) -> None:
    notes.add([(0, Change(keys=(b"k", b"k"))), (2, Change(keys=(b"k",)))])
    notes.add([(0, Change(keys=(b"k",)))])
    taken = notes.take()
    assert sorted(taken.keys) == [(0, b"k"), (2, b"k")] and len(taken.keys) == 2
    assert notes.take() == Noted()


def test_a_key_that_has_changed_has_not_perhaps_changed(notes: Notes) -> None:
    notes.add([(0, Change(perhaps=(b"a", b"b"))), (0, Change(keys=(b"a",)))])
    assert notes.take() == Noted(keys=((0, b"a"),), perhaps=((0, b"b"),))


def test_functions_and_everything(notes: Notes) -> None:
    notes.add([(0, FUNCTIONS)])
    assert notes.take() == Noted(functions=True)
    notes.add([(0, FLUSHED)])
    assert notes.take() == Noted(flushed=True)
    notes.add([(0, EVERYTHING), (0, FUNCTIONS), (0, Change(keys=(b"k",)))])
    assert notes.take() == Noted(functions=True, everything=True)
    assert notes.take() == Noted()


@pytest.mark.parametrize("keys", [[b"a", b"b", b"c", b"d"], [b"a" * 60, b"b" * 60]])
def test_what_does_not_fit_is_everything(notes: Notes, keys: list[bytes]) -> None:
    for key in keys:
        notes.add([(0, Change(perhaps=(key,)))])
    assert notes.take() == Noted(everything=True)
    notes.add([(0, Change(keys=(b"k",)))])
    assert notes.take() == Noted(keys=((0, b"k"),))


def test_nothing_is_noted_before_the_beginning_and_after_the_end(notes: Notes) -> None:
    notes.add([(0, Change(keys=(b"k",)))])
    notes.miss_from_now_on()
    notes.end()
    notes.add([(0, EVERYTHING)])
    notes.begin()
    assert notes.take() == Noted()


def test_clients_that_went_elsewhere_make_every_note_incomplete(notes: Notes) -> None:
    notes.miss_from_now_on()
    assert [notes.take().everything for _ in range(2)] == [True, True]
