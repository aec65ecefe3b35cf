"""A client that goes to a data plane in another process: who has its descriptor, and until when."""

from __future__ import annotations

import os
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from redisproxy.dataplane.interface import HandedClient
from redisproxy.remote.connection import Connection
from redisproxy.remote.data_plane import RemoteHandover
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.peer import RemoteTarget


def test_a_descriptor_stays_open_until_the_answer_also_when_nobody_waits_any_more() -> None:
    link: Any = Connection()
    answer: Deferred[None] = Deferred()
    link.give = lambda order, **arguments: answer
    descriptor = os.open(os.devnull, os.O_RDONLY)
    adopting = RemoteHandover(link).adopt(HandedClient(b"", descriptor))
    adopting.addErrback(lambda _: None)
    adopting.cancel()
    os.fstat(descriptor)
    answer.callback(None)
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_a_connection_that_is_lost_already_can_be_closed() -> None:
    link = OrderClient(Clock(), lambda link: None)
    transport: Any = None  # as AMP leaves it
    link.transport = transport
    RemoteTarget(link).close()
