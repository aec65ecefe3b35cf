"""A feed for servers that refuse CLIENT TRACKING: keyspace notifications, where the server has them set.

https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/ . The names of changed keys come as with L{feed},
before the reply to a PING that is sent after the change. Emptying a database is not told, nor what is in L{NOT_TOLD}:
whoever uses this feed has to learn of these in another way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.copying.bulk_connection import dialled
from redisproxy.copying.feed import Feed, FeedProtocol
from redisproxy.copying.interface import CopyFailed
from redisproxy.resp import RespError
from redisproxy.servers.credentials import credentials_of

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.copying.changes import Changes
    from redisproxy.net.network import Network

SETTING = "notify-keyspace-events"
ALL_CLASSES = "g$lshztxed"
"""What C{A} stands for: all classes of changes."""
NOT_TOLD = frozenset(
    {
        *("FLUSHALL", "FLUSHDB", "SWAPDB", "XACK", "XACKDEL", "XAUTOCLAIM", "XCLAIM", "XDELEX", "XREADGROUP"),
        *("FUNCTION|DELETE", "FUNCTION|FLUSH", "FUNCTION|LOAD", "FUNCTION|RESTORE", "PFCOUNT", "PFDEBUG"),
        *("VADD", "VREM", "VSETATTR", "GRAPH.QUERY", "GRAPH.DELETE"),
    }
)
"""Write commands, of all servers that were tried, of which a change is not told."""


def missing_classes(setting: str) -> str:
    """What the server's setting lacks; empty if it tells of all classes of changes."""
    there = setting.replace("A", ALL_CLASSES)
    where = "" if "E" in there else "E"
    return where + "".join(each for each in ALL_CLASSES if each not in there)


class NotificationsProtocol(FeedProtocol):
    """The connection that is told."""

    def _take(self, message: object) -> None:
        if isinstance(message, list) and len(message) == 4 and message[0] == b"pmessage":
            if not message[2].endswith(b":keymiss"):
                self._changes.add([message[3]])
        elif self._waiting:
            self._waiting.popleft().callback(message)


async def open_notifications_feed(
    uplink: UplinkSettings, name: str, network: Network, clock: Any, changes: Changes
) -> Feed:
    """As L{feed.open_feed}, by keyspace notifications.

    @raise CopyFailed: the server does not have them set, or does not tell whether. @raise UplinkError: it can't be
        reached.
    """
    protocol = await dialled(uplink, name, network, clock, lambda: NotificationsProtocol(changes))
    feed = Feed(protocol, name, clock)
    try:
        await _begin(feed, name, (await credentials_of(uplink, network).ask()).hello())
    except BaseException:
        feed.end()
        raise
    return feed


async def _begin(feed: Feed, name: str, login: tuple[str, ...]) -> None:
    await _ask(feed, name, "HELLO", 3, *login)
    setting = await _ask(feed, name, "CONFIG", "GET", SETTING)
    value = setting.get(SETTING.encode()) if isinstance(setting, dict) else None
    missing = missing_classes(value.decode() if isinstance(value, bytes) else "")
    if missing:
        raise CopyFailed(f"{name}: {SETTING} lacks {missing!r}: set it to KEA there while the switchover runs")
    await _ask(feed, name, "PSUBSCRIBE", "__keyevent@*__:*")


async def _ask(feed: Feed, name: str, *command: Any) -> Any:
    reply = await feed.ask(*command)
    if isinstance(reply, RespError):
        raise CopyFailed(f"{name} does not tell what changes, which copying needs ({command[0]}: {reply.text})")
    return reply
