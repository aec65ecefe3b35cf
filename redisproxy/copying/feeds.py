"""How a server comes to tell what changes: by CLIENT TRACKING, or where it refuses that by keyspace notifications.

CLIENT TRACKING in broadcasting mode needs no setting of the server. It does not tell the database
(https://redis.io/docs/latest/develop/reference/client-side-caching/). Keyspace notifications have to be set
(https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/), and tell nothing of what is in L{NOT_TOLD}, which
has to be noted where it passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.copying.bulk_connection import dialled
from redisproxy.copying.feed import Feed, FeedProtocol
from redisproxy.copying.interface import CopyFailed
from redisproxy.copying.messages import PATTERN, Invalidations, Notifications
from redisproxy.resp import RespError
from redisproxy.servers.credentials import credentials_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redisproxy.config import UplinkSettings
    from redisproxy.copying.changes import Changes
    from redisproxy.copying.messages import Messages
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
"""Write commands, of all servers that were tried, of which notifications do not tell."""


class NotSet(CopyFailed):
    """Keyspace notifications lack classes of changes.

    @ivar setting: what the server has set. @ivar needed: what it has to be.
    """

    def __init__(self, name: str, setting: str, missing: str) -> None:
        super().__init__(f"{name}: {SETTING} lacks {missing!r}: set it to KEA there while the switchover runs")
        self.setting = setting
        self.needed = setting + missing


async def open_feed(uplink: UplinkSettings, name: str, network: Network, clock: Any, changes: Changes) -> Feed:
    """Have the server in `uplink`, which messages call `name`, tell of all changes from now on.

    @raise NotSet: it would, with another setting. @raise CopyFailed: it does not do that.
    @raise UplinkError: it can't be reached.
    """
    opening = _Opening(uplink, name, network, clock, changes)
    try:
        return await opening.open(Invalidations(), _begin_tracking, tells_flushes=True)
    except CopyFailed as refused:
        try:
            return await opening.open(Notifications(), _begin_notifications, tells_flushes=False)
        except NotSet:
            raise
        except CopyFailed as error:
            raise CopyFailed(
                f"{name} does not tell what changes, which copying needs ({refused}; {error}): let the proxy's user run"
                f" CLIENT TRACKING and HELLO there, or CONFIG GET and PSUBSCRIBE, with {SETTING} set to KEA"
            ) from error


class _Opening:
    """Opens one feed, in one way or another."""

    def __init__(self, uplink: UplinkSettings, name: str, network: Network, clock: Any, changes: Changes) -> None:
        self._uplink = uplink
        self._name = name
        self._network = network
        self._clock = clock
        self._changes = changes

    async def open(
        self, messages: Messages, begin: Callable[[Feed, str], Awaitable[None]], tells_flushes: bool
    ) -> Feed:
        """
        @raise CopyFailed: not in this way.
        """

        def make() -> FeedProtocol:
            return FeedProtocol(self._changes, messages)

        protocol = await dialled(self._uplink, self._name, self._network, self._clock, make)
        feed = Feed(protocol, self._name, self._clock, tells_flushes)
        try:
            await _ask(feed, "HELLO", 3, *(await credentials_of(self._uplink, self._network).ask()).hello())
            await begin(feed, self._name)
        except BaseException:
            feed.end()
            raise
        return feed


async def _begin_tracking(feed: Feed, name: str) -> None:
    await _ask(feed, "CLIENT", "TRACKING", "ON", "BCAST")


async def _begin_notifications(feed: Feed, name: str) -> None:
    reply = await _ask(feed, "CONFIG", "GET", SETTING)
    value = reply.get(SETTING.encode()) if isinstance(reply, dict) else None
    setting = value.decode() if isinstance(value, bytes) else ""
    if missing := missing_classes(setting):
        raise NotSet(name, setting, missing)
    await _ask(feed, "PSUBSCRIBE", PATTERN)


def missing_classes(setting: str) -> str:
    """What the server's setting lacks; empty if it tells of all classes of changes."""
    there = setting.replace("A", ALL_CLASSES)
    where = "" if "E" in there else "E"
    return where + "".join(each for each in ALL_CLASSES if each not in there)


async def _ask(feed: Feed, *command: Any) -> Any:
    reply = await feed.ask(*command)
    if isinstance(reply, RespError):
        raise CopyFailed(f"{command[0]}: {reply.text}")
    return reply
