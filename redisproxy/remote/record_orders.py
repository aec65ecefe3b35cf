"""The orders that ask a data plane in another process for what it keeps of what has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from redisproxy.figures.hot_keys import Hot
from redisproxy.figures.seconds import Second
from redisproxy.figures.slow_log import SlowCommand
from redisproxy.remote.order import Order, answering, taking

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import RecordOrders
    from redisproxy.remote.connection import Connection
    from redisproxy.remote.order_server import Handler


class ReadSeconds(Order):
    """C{RecordOrders.seconds}."""

    arguments = taking(after=int)
    response = answering(tuple[Second, ...])


class ReadSlowCommands(Order):
    """C{RecordOrders.slow_commands}."""

    response = answering(tuple[SlowCommand, ...])


class ReadHotKeys(Order):
    """C{RecordOrders.hot_keys}."""

    response = answering(Hot)


class RemoteRecords:
    """See L{interface.RecordOrders}."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seconds(self, after: int) -> Deferred[tuple[Second, ...]]:
        """What was measured in each of the last seconds."""
        return self._connection.give(ReadSeconds, after=after)

    def slow_commands(self) -> Deferred[tuple[SlowCommand, ...]]:
        """The commands that took long."""
        return self._connection.give(ReadSlowCommands)

    def hot_keys(self) -> Deferred[Hot]:
        """What sampling has found."""
        return self._connection.give(ReadHotKeys)


def handlers(records: RecordOrders) -> dict[type[Order], Handler]:
    """What carries these orders out."""
    return {ReadSeconds: records.seconds, ReadSlowCommands: records.slow_commands, ReadHotKeys: records.hot_keys}
