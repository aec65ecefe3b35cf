"""Waiting until nothing is in flight; what takes too long is dropped and named. A slow drain is looked for here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.answers import Answer
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.switchover.failure import who_was_in_flight

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import ClientInFlight, GateOrders

MAX_NAMED = 100
_log = Logger(namespace="redisproxy.control")


async def drain(gate: GateOrders, clock: IReactorTime, limit_s: float) -> list[Answer]:
    """Wait until nothing is in flight, at most `limit_s` seconds; name the clients that were dropped then.

    @raise GateReopened: the gate was opened first.
    """
    dropping: list[Deferred[tuple[ClientInFlight, ...]]] = []
    overdue = ensureDeferred(_overdue(clock, limit_s))
    overdue.addCallbacks(lambda _: dropping.append(ensureDeferred(_drop(gate))), _not_overdue)
    try:
        await gate.drained()
    finally:
        overdue.cancel()
    dropped = [client for each in dropping for client in await each]
    return [asdict(client) for client in dropped[:MAX_NAMED]]


async def _overdue(clock: IReactorTime, limit_s: float) -> None:
    await deferLater(clock, limit_s)
    # If it was this process that stood still, what has come meanwhile is read only after its timers.
    await deferLater(clock, 0)


def _not_overdue(failure: Failure) -> None:
    failure.trap(CancelledError)


async def _drop(gate: GateOrders) -> tuple[ClientInFlight, ...]:
    try:
        dropped, status = await gate.drop_in_flight(), await gate.state()
    except DataPlaneLost:
        return ()  # who waits for the drain hears of it
    if dropped:
        _log.warn("the drain deadline has passed: {who}; dropped", who=who_was_in_flight(dropped))
    if dropped and status.busy:
        _log.warn("the uplink: {busy}", busy=status.busy)
    return dropped
