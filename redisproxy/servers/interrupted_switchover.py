"""What an interrupted switchover has left on a server, and what an operator can do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.servers.redis_server import RedisServer


async def look_for_fence(server: RedisServer) -> str:
    """The advice for an operator whose server does not take writes; empty if it does.

    An interrupted switchover leaves the old server fenced, or the new one a replica. The connection is closed
    afterwards.
    """
    try:
        state = await server.state()
    except UplinkError:
        return ""
    finally:
        server.close()
    if state.fenced and state.role == "slave":
        host, port = state.primary
        return (
            f"it was left by a switchover: it is fenced, and a replica of {host}:{port}. Point uplink at {host}:{port};"
            " to use this server, switch over to it from there"
        )
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
