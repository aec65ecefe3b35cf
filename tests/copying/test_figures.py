"""The figures of a copy: how much, how fast, how long yet."""

from __future__ import annotations

from twisted.internet.task import Clock

from redisproxy.copying.figures import CopyFigures


def test_rate_and_time_left_follow_from_what_was_done() -> None:
    clock = Clock()
    figures = CopyFigures(clock.seconds)
    figures.pass_begins(1000)
    for _ in range(4):
        clock.advance(1)
        figures.copied(100, 5000)
    progress = figures.progress(changed=0)
    assert (progress.keys, progress.total_keys, progress.data_bytes, progress.passes) == (400, 1000, 5000, 1)
    assert progress.keys_per_s == 100 and progress.seconds_left == 6


def test_the_lag_is_what_changed_keys_take() -> None:
    clock = Clock()
    figures = CopyFigures(clock.seconds)
    for _ in range(50):
        figures.changed_took(100, 0.2)
    assert round(figures.progress(changed=500, slow_s=0.25).lag_ms) == 1250


def test_rounds_of_few_keys_do_not_make_a_key_look_slow() -> None:
    figures = CopyFigures(Clock().seconds)
    for _ in range(50):
        figures.changed_took(1, 0.05)
        figures.changed_took(50, 0.06)
    assert figures.progress(changed=50).lag_ms < 200


def test_before_anything_was_copied_nothing_is_claimed() -> None:
    progress = CopyFigures(Clock().seconds).progress(changed=0)
    assert progress.seconds_left is None and progress.keys_per_s == 0


def test_more_keys_than_there_were_in_the_beginning_are_no_less_than_all() -> None:
    clock = Clock()
    figures = CopyFigures(clock.seconds)
    figures.pass_begins(10)
    clock.advance(1)
    figures.copied(15, 0)
    progress = figures.progress(changed=0)
    assert progress.total_keys == 15 and progress.seconds_left == 0
