"""How writers can be kept from a server for good or for a while, as far as it allows that; tried in harmless ways."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.servers.state import ServerState


class FenceKind(Enum):
    """How writers are kept from a server.

    C{SETTING}: by a setting, for as long as it takes. C{PAUSE}: by CLIENT PAUSE, for a bounded time. C{NONE}: not at
    all.
    """

    SETTING = "setting"
    PAUSE = "pause"
    NONE = "none"


async def fence_kind(server: RedisServer, state: ServerState) -> FenceKind:
    """What this server allows.

    @raise UplinkUnavailable: it does not answer.
    """
    # A pause of no number is refused for that, or before that for want of the right to it.
    same = ("CONFIG", "SET", "min-replicas-to-write", state.min_replicas)
    setting, pause = await server.ask_all(same, ("CLIENT", "PAUSE", "x", "WRITE"))
    if state.can_config and not isinstance(setting, ServerSaidNo):
        return FenceKind.SETTING
    return FenceKind.PAUSE if isinstance(pause, ServerSaidNo) and "integer" in str(pause) else FenceKind.NONE
