"""What one worker gets of limits that are meant for the whole proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.workers.members import Member


def share_of(settings: Settings) -> Settings:
    """The settings of one worker: C{uplink.max_pinned} and C{uplink.max_dedicated} are divided, rounded up.

    C{limits.max_clients} and C{limits.max_raw_connections} are not: the control process counts the clients of all.
    """
    uplink, count = settings.uplink, settings.worker_count
    divided = {name: -(-getattr(uplink, name) // count) for name in ("max_pinned", "max_dedicated")}
    return settings.model_copy(update={"uplink": uplink.model_copy(update=divided)})


def for_listeners_of(member: Member, settings: Settings) -> Settings:
    """The settings for one that lingers: it keeps the listeners that it has, because its clients came by them."""
    if member.serving:
        return settings
    own = member.settings
    return settings.model_copy(update={"listen": own.listen, "listen_raw": own.listen_raw})


def files_of_one(settings: Settings) -> Settings:
    """The settings by which a worker needs files: its part of all clients."""
    count, limits = settings.worker_count, settings.limits
    names = ("max_clients", "max_raw_connections")
    divided = {name: -(-getattr(limits, name) // count) for name in names}
    return share_of(settings).model_copy(update={"limits": limits.model_copy(update=divided)})
