"""What is counted of every command, by family, and the histograms of how long commands take; in pure Python.

The lane and the queue call this. C{_native.core} holds the compiled twin.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from redisproxy.resp.command_beginning import start_of
from redisproxy.resp.names import command_names

OTHER = 0
"""The number of the family of all commands that no family has."""


class CommandFigures:
    """Counts and histograms by family; a family is a number.

    @ivar commands, errors: how many were sent, and how many of the replies were errors.
    @ivar client_ns, uplink_ns: sums of times in nanoseconds. @ivar client, uplink: counts by family and bucket.
    @param families: numbers of families by upper-case names of commands; all others are in L{OTHER}.
    @param bounds_ns: upper bounds of the buckets; one more is for what takes longer.
    """

    __slots__ = ("_bounds_ns", "_families", "client", "client_ns", "commands", "errors", "uplink", "uplink_ns")

    def __init__(self, families: Mapping[bytes, int], bounds_ns: Sequence[int]) -> None:
        number = max(families.values(), default=OTHER) + 1
        self._families = families
        self._bounds_ns = bounds_ns
        self.commands, self.errors = [0] * number, [0] * number
        self.client_ns, self.uplink_ns = [0] * number, [0] * number
        self.client = [[0] * (len(bounds_ns) + 1) for _ in range(number)]
        self.uplink = [[0] * (len(bounds_ns) + 1) for _ in range(number)]

    def sent(self, data: bytes, count: int) -> tuple[int, bytes | None]:
        """Count `count` commands of a client; their family, and a byte for each if they are of several."""
        find, commands = self._families.get, self.commands
        each = bytes([find(name, OTHER) for name in command_names(data, count)])
        first = each[0]
        if each.count(first) == count:
            commands[first] += count
            return first, None
        for family in each:
            commands[family] += 1
        return first, each

    def start_of(self, data: bytes, number: int) -> int:
        """See L{resp.command_beginning.start_of}."""
        return start_of(data, number)

    def failed(self, family: int, count: int) -> None:
        """So many replies were errors."""
        self.errors[family] += count

    def answered(self, family: int, count: int, client_ns: int, uplink_ns: int) -> None:
        """So many commands were answered.

        @param client_ns: after their arrival. @param uplink_ns: after they were sent.
        """
        client_ns, uplink_ns = max(client_ns, 0), max(uplink_ns, 0)
        self.client[family][bisect_left(self._bounds_ns, client_ns)] += count
        self.uplink[family][bisect_left(self._bounds_ns, uplink_ns)] += count
        self.client_ns[family] += count * client_ns
        self.uplink_ns[family] += count * uplink_ns
