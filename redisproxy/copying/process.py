"""The process that copies: it reads what it begins with from its standard input, and takes orders on a connection.

It logs to its standard error. Without the control process it ends at once: what it has copied stays where it is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.logger import globalLogBeginner

from redisproxy.copying import orders
from redisproxy.copying.engine import CopyEngine
from redisproxy.net.network import best_network
from redisproxy.remote.argument_types import settings_from_bytes, settings_to_bytes
from redisproxy.remote.link import connected
from redisproxy.remote.order_server import OrderServer
from redisproxy.workers.log_pipe import LogPipe

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.copying.interface import Copying
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler

ORDERS_FD = 3
STARTED = b"started\n"


@dataclass(frozen=True)
class Beginning:
    """What the process begins with: the settings of both servers, with their secrets."""

    old: Settings
    new: Settings

    def to_bytes(self) -> bytes:
        """As it passes through a pipe."""
        return json.dumps(
            {"old": settings_to_bytes(self.old).decode(), "new": settings_to_bytes(self.new).decode()}
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Beginning:
        """The reverse."""
        told = json.loads(data)
        return cls(settings_from_bytes(told["old"].encode()), settings_from_bytes(told["new"].encode()))


def handlers_of(copying: Copying) -> dict[type[Order], Handler]:
    """What carries out each order."""
    return {
        orders.TakeSurvey: copying.survey,
        orders.CopyAll: copying.copy,
        orders.NoteChanges: copying.note,
        orders.ComeNear: copying.near,
        orders.CopyRest: copying.copy_rest,
        orders.Verify: copying.verify,
        orders.TellProgress: copying.progress,
        orders.StopCopying: copying.stop,
    }


def main() -> None:
    """Run until the control process is gone, or closes the connection."""
    from twisted.internet import reactor

    running: Any = reactor
    with suppress(OSError):
        os.setsid()  # Ctrl-C in the terminal is for the control process
    with suppress(OSError):
        os.nice(1)  # clients come first
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    globalLogBeginner.beginLoggingTo([LogPipe(2)], redirectStandardIO=False)
    beginning = Beginning.from_bytes(sys.stdin.buffer.read())
    engine = CopyEngine(beginning.old, beginning.new, best_network(reactor), running)
    connected(reactor, ORDERS_FD, OrderServer(running, handlers_of(engine), lambda link: os._exit(0)))
    os.write(1, STARTED)
    os.close(1)
    running.run(installSignalHandlers=False)
