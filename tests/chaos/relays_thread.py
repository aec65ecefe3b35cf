"""The reactor of the relays, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet import reactor as global_reactor

from tests.end_to_end.harness import wait_until


@contextmanager
def reactor_for_relays() -> Iterator[None]:
    """It runs meanwhile."""
    reactor: Any = global_reactor
    threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True).start()
    wait_until(lambda: reactor.running, "the reactor runs")
    try:
        yield
    finally:
        reactor.callFromThread(reactor.stop)
