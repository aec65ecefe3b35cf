"""The data plane's end of a link in a process of its own.

C{python -m tests.end_to_end.data_plane_process PATH [CONFIG]} listens at the Unix socket PATH, and says so then.
With CONFIG there is a whole data plane behind it; without, it takes clients' sockets and answers the clients itself.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from twisted.internet.protocol import Factory

from redisproxy import config
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.net import tls
from redisproxy.net.listening import sockets_for
from redisproxy.net.network import best_network
from redisproxy.remote.link import Descriptor
from redisproxy.remote.order import Order, answering, taking
from redisproxy.remote.order_server import OrderServer
from redisproxy.remote.served import ServedDataPlane


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


def data_plane(reactor: Any, config_path: str) -> ServedDataPlane:
    """A data plane that accepts clients."""
    settings, network = config.load(config_path, tls.faults), best_network(reactor)
    plane = LocalDataPlane(settings, reactor, network)
    plane.listeners.take(sockets_for(settings, {}))
    plane.listeners.resume()
    return ServedDataPlane(plane, settings, network, reactor)


def main(path: str, config_path: str = "") -> None:
    """Listen until the process is ended, which is a minute later at the latest."""
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    factory: Any = Factory()
    make = data_plane(reactor, config_path).link if config_path else lambda: order_server(reactor)
    factory.buildProtocol = lambda address: make()
    reactor.listenUNIX(path, factory, mode=0o600)
    reactor.callLater(60, reactor.stop)
    print("listening", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
