"""The blocked clients: each waits in BLPOP without a timeout for jobs that busy clients push."""

from __future__ import annotations

from redisproxy.switch_test.busy_clients import QUEUES
from redisproxy.switch_test.connection import Broken, Connection
from redisproxy.switch_test.ledger import Ledger

LAST = b"last:"
"""Marks a client's last job; each gets one, which shows that none of them hangs."""


class BlockedClient:
    """One blocked client.

    @ivar ended: it has received its last job.
    """

    def __init__(self, number: int, wire: Connection, ledger: Ledger) -> None:
        self.name = f"worker {number}"
        self.queue = b"jobs:%d" % (number % QUEUES)
        self.wire = wire
        self.ended = False
        self._ledger = ledger

    async def work(self) -> None:
        """Take jobs until the last one arrives.

        @raise Broken: a reply was no job.
        """
        while not self.ended:
            (reply,) = await self.wire.ask(("BLPOP", self.queue, 0))
            if not isinstance(reply, list) or len(reply) != 2 or reply[0] != self.queue:
                raise Broken("mixed up", f"BLPOP {self.queue!r} answered {reply!r}")
            if reply[1].startswith(LAST):
                self.ended = True
            else:
                self._ledger.delivered[reply[1]] += 1
