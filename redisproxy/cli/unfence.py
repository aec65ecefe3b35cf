"""C{redisproxy unfence}: lifts the fence that a switchover left on a Redis server; needs no running proxy."""

from __future__ import annotations

import contextlib
from typing import Any

import click
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import react

from redisproxy.config import Settings
from redisproxy.config.certificates import TLSFault
from redisproxy.net.errors import UplinkError
from redisproxy.net.twisted_network import TwistedNetwork
from redisproxy.sentinel.finder import Finder
from redisproxy.servers.connecting import connect_to


def run(settings: Settings) -> int:
    """Lift the fence of the uplink in `settings`; returns the exit code."""
    codes: list[int] = []

    def main(reactor: Any) -> Deferred[None]:
        done: Deferred[None] = ensureDeferred(_unfence(reactor, settings)).addCallback(codes.append)
        return done

    with contextlib.suppress(SystemExit):
        react(main, [])
    return codes[0] if codes else 1


async def _unfence(reactor: Any, settings: Settings) -> int:
    network = TwistedNetwork(reactor)
    try:
        if settings.uplink.sentinels:
            settings = settings.with_primary_at(await Finder(settings, network, reactor).find())
        uplink = settings.uplink
        server = await connect_to(uplink, str(uplink.address), network, reactor)
        state = await server.state()
        if state.fenced and state.role == "slave":
            host, port = state.primary
            click.echo(f"{uplink.address} is a replica of {host}:{port}, as a way back, and keeps its fence", err=True)
            server.close()
            return 1
        if not state.fenced:
            click.echo(f"{uplink.address} bears no fence")
        else:
            await server.unfence(state)
            click.echo(f"{uplink.address} takes writes again")
        server.close()
    except (UplinkError, TLSFault) as error:
        click.echo(str(error), err=True)
        return 1
    return 0
