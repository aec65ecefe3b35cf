"""Clients with blocking commands wait during a switch, and go on a few at a time."""

from __future__ import annotations

from twisted.internet.task import Clock

from redisproxy.shared.blocked_commands import BATCH, BlockedCommands


class Client:
    def __init__(self, gone: list[int], number: int) -> None:
        self._gone = gone
        self._number = number

    def let_go(self) -> None:
        self._gone.append(self._number)


def held(clock: Clock, count: int) -> tuple[BlockedCommands, list[int], list[Client]]:
    waiting, gone = BlockedCommands(clock), list[int]()
    clients = [Client(gone, number) for number in range(count)]
    waiting.close()
    for client in clients:
        waiting.hold(client)
    return waiting, gone, clients


def test_they_go_in_order_and_after_a_few_of_them_it_is_others_turn() -> None:
    clock = Clock()
    waiting, gone, clients = held(clock, 2 * BATCH + 1)
    clock.advance(10)
    assert not gone and waiting.closed
    first = clients[0].let_go
    clients[0].let_go = lambda: (first(), clock.callLater(0, gone.append, -1))[0]  # type: ignore[method-assign]
    waiting.open()
    waiting.open()
    assert not waiting.closed and not gone
    clock.advance(0)
    assert gone == [*range(BATCH), -1, *range(BATCH, 2 * BATCH + 1)]
    assert not len(waiting) and not clock.getDelayedCalls()


def test_who_has_gone_away_is_not_called_and_closing_again_keeps_the_rest() -> None:
    clock = Clock()
    waiting, gone, clients = held(clock, 2 * BATCH)
    waiting.forget(clients[0])
    clients[BATCH].let_go = waiting.close  # type: ignore[method-assign]
    waiting.open()
    clock.advance(10)
    assert gone == list(range(1, BATCH)) and len(waiting) == BATCH - 1
    waiting.open()
    clock.advance(0)
    assert gone == [*range(1, BATCH), *range(BATCH + 1, 2 * BATCH)]
