"""A fence that an interrupted switchover has left on a server: how it is seen, and what an operator can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.servers.redis_server import RedisServer


async def look_for_fence(server: RedisServer) -> str:
    """What an operator has to know of a server that is to take writes; empty when nothing is the matter.

    An interrupted switchover leaves a fenced old server, or a new one that is a replica still. The connection to the
    server is closed afterwards.
    """
    try:
        state = await server.state()
    except UplinkError:
        return ""
    finally:
        server.close()
    if state.fenced:
        return (
            "it is fenced by a switchover and refuses writes: if the new server was promoted, point uplink there;"
            " to go on with this one, run: redisproxy unfence -c CONFIG"
        )
    if state.role == "slave":
        host, port = state.primary
        return (
            f"it is a replica of {host}:{port} and takes no writes: if a switchover was interrupted, point uplink at"
            f" {host}:{port} again and repeat it"
        )
    return ""
