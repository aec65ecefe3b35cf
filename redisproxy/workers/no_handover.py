"""Clients do not go from workers to other data planes, nor come to them."""

from __future__ import annotations

import os

from twisted.internet.defer import Deferred, fail

from redisproxy.dataplane.interface import HandedClient, NotSupported


class NoHandover:
    """Implements C{interface.HandoverOrders}: it refuses each."""

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        return _refused()

    def adopt(self, client: HandedClient) -> Deferred[None]:
        os.close(client.descriptor)
        return _refused()

    def forget(self, client_id: int) -> Deferred[None]:
        return _refused()

    def hand_over(self, to: str, limit_s: float) -> Deferred[int]:
        return fail(NotSupported("clients of workers are not handed over"))


def _refused() -> Deferred[None]:
    return fail(NotSupported("clients are not handed over to workers"))
