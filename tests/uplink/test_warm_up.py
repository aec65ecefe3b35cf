"""What is learned of a server before clients are moved to it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred

from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import encode_command as cmd
from tests.wire import Wire


def test_a_promotion_since_the_login_is_learned(wire: Wire) -> None:
    uplinks: Any = wire.core.uplinks
    client = wire.client()
    client.ask("GET", "a")
    wire.server.send(b":0\r\n")
    wire.server.got()
    uplinks.server[b"role"] = b"replica"
    assert b"$7\r\nreplica\r\n" in client.ask("HELLO", 2)
    wire.answer_login = False
    asking = ensureDeferred(uplinks.warm_up.learn_role())
    wire.turn()
    assert wire.server.got() == cmd("HELLO")
    wire.server.send(b"*4\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n")
    assert asking.called and b"$6\r\nmaster\r\n" in client.ask("HELLO", 2)


def test_a_server_that_does_not_say_its_role_holds_nobody_up(wire: Wire) -> None:
    uplinks: Any = wire.core.uplinks
    uplinks.server[b"role"] = b"replica"
    wire.answer_login = False
    failed: list[Any] = []
    ensureDeferred(uplinks.warm_up.learn_role()).addErrback(failed.append)
    wire.advance(5.1)
    assert failed[0].check(UplinkUnavailable)
