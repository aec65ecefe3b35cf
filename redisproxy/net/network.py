"""Chooses the network: the compiled transports where they are to be had, Twisted's own otherwise."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorFDSet

from redisproxy.forwarding import twins
from redisproxy.net.transports import Network, TwistedNetwork


def best_network(reactor: Any) -> Network:
    """The fastest network that works here."""
    if twins.NATIVE and IReactorFDSet.providedBy(reactor):
        from redisproxy.net.native import NativeNetwork

        return NativeNetwork(reactor)
    return TwistedNetwork(reactor)
