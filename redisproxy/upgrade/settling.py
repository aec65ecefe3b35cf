"""The process whose place is taken, until it is certain that it will not go on."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.upgrade.process_life import ProcessLife

T = TypeVar("T")
LOOK_S = 0.2


class Settling:
    """@ivar settled: fires when it is certain."""

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(self, pid: int, reactor: Any) -> None:
        self.settled: Deferred[None] = Deferred()
        self._pid = pid
        self._life = ProcessLife(pid)
        self._reactor = reactor

    @property
    def over(self) -> bool:
        """Whether the process has ended."""
        return self._life.over

    def settle(self) -> None:
        """It has ended, or given its place up."""
        self._life.forget()
        if not self.settled.called:
            self.settled.callback(None)

    def settled_with(self, rest: Deferred[None]) -> Deferred[None]:
        """Fire when a move can begin: it is settled, and all that the process has left will go along.

        @param rest: fires when that is found.
        """
        both: Deferred[None] = Deferred()

        def one(result: T) -> T:
            if self.settled.called and rest.called and not both.called:
                both.callback(None)
            return result

        self.settled.addBoth(one)
        rest.addBoth(one)
        return both

    async def in_time(self) -> None:
        """It can't say any more whether it goes on: wait for its end, unless it has said so."""
        if self.settled.called:
            return
        if not self.over:
            self.log.warn("process {pid} has not given its place up: no move begins before it has ended", pid=self._pid)
        while not self.over:
            await deferLater(self._reactor, LOOK_S)
        self.settle()

    def forget(self) -> None:
        """This process ends."""
        self._life.forget()
