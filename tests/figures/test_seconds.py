"""What was measured in each second: rates, kept for five minutes, one after the other."""

from __future__ import annotations

from twisted.internet.task import Clock

from redisproxy.figures.metrics import Metrics
from redisproxy.figures.seconds import KEPT, Second, Seconds, together
from redisproxy.forwarding.gate import Gate


def make() -> tuple[Seconds, Metrics]:
    metrics = Metrics()
    return Seconds(metrics, Gate(Clock(), metrics.flow)), metrics


def test_a_second_has_the_rates_of_what_was_counted_in_it() -> None:
    seconds, metrics = make()
    seconds.tick(100.0)
    metrics.flow.commands, metrics.flow.bytes_from_clients, metrics.clients.open = 50, 700, 3
    seconds.tick(100.9)
    assert seconds.after(0) == ()
    seconds.tick(101.0)
    metrics.flow.commands = 90
    seconds.tick(102.0)
    first, second = seconds.after(0)
    assert (first.time, first.commands, first.bytes_in, first.clients) == (101, 50, 700, 3)
    assert (second.time, second.commands, second.bytes_in) == (102, 40, 0)


def test_a_second_that_was_long_has_its_rates_all_the_same() -> None:
    seconds, metrics = make()
    seconds.tick(100.0)
    metrics.flow.commands = 400
    seconds.tick(104.0)
    assert [second.commands for second in seconds.after(0)] == [100]


def test_what_is_older_than_five_minutes_is_forgotten_and_what_is_known_is_not_told_again() -> None:
    seconds, _ = make()
    for now in range(1000):
        seconds.tick(float(now))
    assert [second.time for second in seconds.after(0)] == list(range(1000 - KEPT, 1000))
    assert [second.time for second in seconds.after(997)] == [998, 999]


def test_a_clock_that_is_put_back_begins_anew() -> None:
    seconds, _ = make()
    for now in (100.0, 101.0, 50.0, 51.0):
        seconds.tick(now)
    assert [second.time for second in seconds.after(0)] == [50, 51]


def test_when_the_clock_is_put_back_nothing_looks_tenfold() -> None:
    seconds, metrics = make()
    seconds.tick(100.0)
    metrics.flow.commands = 1000
    seconds.tick(50.0)
    assert [second.commands for second in seconds.after(0)] == [0]


def test_seconds_of_several_are_sums() -> None:
    one = Second(7, 1.5, 0.5, 10, 20, 1, 2, 3, ((4, 1), (6, 2)), ((1, 1),))
    other = Second(7, 2.0, 0.0, 1, 2, 1, 0, 0, ((6, 5),))
    assert together([one, other]) == Second(7, 3.5, 0.5, 11, 22, 2, 2, 3, ((4, 1), (6, 7)), ((1, 1),))
