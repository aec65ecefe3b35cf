"""Compares what both servers have beside their data, as a part of the step preflight, and reports what stays behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.servers.equipment import equipment_of
from redisproxy.switchover.carry import Carry
from redisproxy.switchover.failure import refuse
from redisproxy.switchover.left_behind import LeftBehind, table

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.servers.state import ServerState
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.report import SwitchoverReport

SHOWN = 10


async def compare(
    servers: BothServers,
    old: ServerState,
    new: ServerState,
    settings: SwitchoverSettings,
    report: SwitchoverReport,
    functions: bool = False,
) -> Carry:
    """Compare both servers, and report what clients will feel of the new one.

    @param old, new: what is known of them.
    @param functions: whether functions may stay behind; replication and copying bring them.
    @return: what takes along what the settings want taken along.
    @raise SwitchoverFailed: that can't be done, or C{switchover.strict} refuses what stays behind.
    @raise UplinkError: a server does not answer.
    """
    own = (servers.new.user or "default").encode()
    equipment = await equipment_of(servers.at_old, old), await equipment_of(servers.at_new, new)
    left_behind = LeftBehind(*equipment, settings.carry, own, functions)
    differences = list(left_behind.differences())
    report.fields["differences"] = table(differences)
    carry = Carry(left_behind)
    refuse(await carry.faults(servers.at_new))
    if settings.strict and (rest := [each for each in differences if not each.carried]):
        names = ", ".join(f"{each.kind} {each.name}" for each in rest[:SHOWN])
        refuse([f"the servers differ in {len(rest)} things that clients can feel (switchover.strict): {names}"])
    return carry
