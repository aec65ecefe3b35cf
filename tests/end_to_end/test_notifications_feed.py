"""Which changes keyspace notifications tell of, and the feed that they make, on every server that the tests have."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest

from redisproxy.config import UplinkSettings
from redisproxy.copying.changes import Changes
from redisproxy.copying.feed import Feed as CopyFeed
from redisproxy.copying.feeds import NOT_TOLD, SETTING, missing_classes, open_feed
from redisproxy.copying.interface import CopyFailed
from redisproxy.net.twisted_network import TwistedNetwork
from tests.end_to_end import told
from tests.end_to_end.copying import run
from tests.end_to_end.harness import RedisServer
from tests.end_to_end.told import PROGRAMS, SERVERS, Connection, Feed, try_all

pytestmark = pytest.mark.one_twin


class Notified(Feed):
    """A connection that keyspace notifications tell which keys change."""

    def __init__(self, server: RedisServer) -> None:
        self.connection = Connection(server)
        self.connection.do("HELLO", 3)
        self.connection.do("CONFIG", "SET", SETTING, "AE")
        self.connection.send("PSUBSCRIBE", "__keyevent@*__:*")

    def told(self) -> set[bytes]:
        self.connection.do("PING")
        pushes, self.connection.pushes = self.connection.pushes, []
        return {push[3] for push in pushes if push[0] == b"pmessage"}


def test_what_they_do_not_tell_is_listed() -> None:
    with patch.object(told, "Feed", Notified):
        silent = {name for server in SERVERS for name in try_all(server).silent}
    assert silent == NOT_TOLD


@pytest.mark.parametrize(
    ("setting", "missing"),
    [("AE", ""), ("AKE", ""), ("Eg$lshztxed", ""), ("KA", "E"), ("", "Eg$lshztxed"), ("Eglshzxe", "$td"), ("AEm", "")],
)
def test_which_classes_of_changes_a_setting_lacks(setting: str, missing: str) -> None:
    assert missing_classes(setting) == missing


@pytest.fixture(scope="module", params=PROGRAMS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with RedisServer(program=PROGRAMS[request.param]()) as running:
        yield running


def may_not_track(server: RedisServer, *more: str) -> UplinkSettings:
    """How a user logs in who may not CLIENT TRACKING."""
    rules = ("reset", "on", ">secret", "~*", "&*", "+@all", "-client", *more)
    server.client().execute_command("ACL", "SETUSER", "app", *rules)
    login: dict[str, Any] = {**server.uplink, "user": "app", "pass": "secret"}
    return UplinkSettings(**login)


async def with_feed(reactor: Any, server: RedisServer, work: Any) -> Any:
    changes = Changes()
    uplink = may_not_track(server)
    feed: CopyFeed = await open_feed(uplink, "the server", TwistedNetwork(reactor), reactor, changes)
    assert not feed.tells_flushes
    try:
        return await work(feed, changes)
    finally:
        feed.end()


def test_the_feed_tells_of_every_database_and_has_a_last_word(server: RedisServer) -> None:
    server.client().config_set(SETTING, "KEA")

    async def work(feed: CopyFeed, changes: Changes) -> list[bytes]:
        server.client().mset({"a": 1, "b": 2})
        server.client(db=3).rpush("c", 1)
        server.client().delete("a")
        await feed.last_word()
        assert await feed.latency_s() >= 0
        return sorted(changes.take(10))

    assert run(partial(with_feed, server=server, work=work)) == [b"a", b"b", b"c"]


def test_a_feed_that_is_cut_is_lost(server: RedisServer) -> None:
    server.client().config_set(SETTING, "KEA")

    async def work(feed: CopyFeed, changes: Changes) -> bool:
        server.client().client_kill_filter(_type="pubsub")
        return not await feed.last_word() and feed.lost

    assert run(partial(with_feed, server=server, work=work))


def test_a_server_that_does_not_notify_of_everything_is_refused(server: RedisServer) -> None:
    server.client().config_set(SETTING, "KEx")

    async def work(feed: CopyFeed, changes: Changes) -> None:
        raise AssertionError("there is no feed")

    with pytest.raises(CopyFailed, match="set it to KEA"):
        run(partial(with_feed, server=server, work=work))


def test_a_user_who_may_not_see_the_setting_is_refused(server: RedisServer) -> None:
    async def work(reactor: Any) -> None:
        await open_feed(may_not_track(server, "-config"), "the server", TwistedNetwork(reactor), reactor, Changes())

    with pytest.raises(CopyFailed, match="does not tell what changes"):
        run(work)
