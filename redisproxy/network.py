"""Chooses the network: the compiled transports where they are to be had, Twisted's own otherwise."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorFDSet

from redisproxy import framing
from redisproxy.net import Network, TwistedNetwork


def best_network(reactor: Any) -> Network:
    """The fastest network that works here."""
    if framing.NATIVE and IReactorFDSet.providedBy(reactor):
        from redisproxy.native_net import NativeNetwork

        return NativeNetwork(reactor)
    return TwistedNetwork(reactor)
