"""The end: accept nobody, tell who wants to know, let what is in flight finish within the bound, close everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy.control.drain import drain
from redisproxy.dataplane.interface import SHUTDOWN, GateReopened

if TYPE_CHECKING:
    from redisproxy.config import ShutdownSettings
    from redisproxy.dataplane.interface import DataPlane


async def close_clients(dataplane: DataPlane, settings: ShutdownSettings, clock: IReactorTime) -> None:
    """Part with every client. No move runs any more."""
    clients, drain_limit_ms = dataplane.clients, settings.drain_deadline_ms
    await clients.stop_listening()
    within_s = (settings.notice_ms or drain_limit_ms) / 1000
    await clients.give_notice(within_s, settings.notice_ms / 1000, settings.moving_to or "")
    await dataplane.gate.hold(SHUTDOWN)
    try:
        dropped = await drain(dataplane.gate, clock, drain_limit_ms / 1000)
    except GateReopened:
        dropped = []
    if dropped:
        Logger(namespace="redisproxy").warn("{count} clients were still waiting for replies", count=len(dropped))
    await clients.close_all()
