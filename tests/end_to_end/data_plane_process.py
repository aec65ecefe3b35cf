"""The data plane's end of a link in a process of its own: takes a client's socket, and answers the client itself.

C{python -m tests.end_to_end.data_plane_process PATH} listens at the Unix socket PATH and says so on its output.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from twisted.internet.protocol import Factory

from redisproxy.dataplane.link import Descriptor
from redisproxy.dataplane.order import Order, answering, taking
from redisproxy.dataplane.order_server import OrderServer


class Greeted(Order):
    """Take this client, and send it a greeting; the process that did."""

    arguments = taking(client=Descriptor(), greeting=bytes)
    response = answering(int)


def greeted(client: int, greeting: bytes) -> int:
    """Send the greeting, and close the client's connection."""
    with socket.socket(fileno=client) as connection:
        connection.sendall(greeting)
        connection.shutdown(socket.SHUT_RDWR)
    return os.getpid()


def order_server(reactor: Any) -> OrderServer:
    """The protocol for a connection."""
    return OrderServer(reactor, {Greeted: greeted}, lambda link: None)


def main(path: str) -> None:
    """Listen until the process is ended, which is a minute later at the latest."""
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    factory: Any = Factory()
    factory.buildProtocol = lambda address: order_server(reactor)
    reactor.listenUNIX(path, factory, mode=0o600)
    reactor.callLater(60, reactor.stop)
    print("listening", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
