"""What a copy's process begins with, and the marks that a copy leaves at the new server."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred

from redisproxy.config import Settings
from redisproxy.config.address import parse_address
from redisproxy.copying.process import Beginning
from redisproxy.servers.copy_marker import Marked, mark, marked, unmark

OLD = parse_address("10.0.0.1:6379", "tcp")


def settings(address: str) -> Settings:
    uplink = {"addr": address, "pass": "secret"}
    return Settings.model_validate({"uplink": uplink, "listen": [{"addr": "127.0.0.1:1"}]}, strict=False)


def test_settings_arrive_with_their_secrets() -> None:
    sent = Beginning(settings("10.0.0.1:6379"), settings("10.0.0.2:6379"))
    came = Beginning.from_bytes(sent.to_bytes())
    assert came == sent and came.new.uplink.password is not None
    assert came.new.uplink.password.get_secret_value() == "secret" and "secret" not in repr(came)


class Store:
    """A server with one key."""

    def __init__(self) -> None:
        self.value: bytes | None = None

    async def ask(self, *command: Any) -> Any:
        if command[0] == "SET":
            self.value = command[2].encode()
        if command[0] == "DEL":
            self.value = None
        return self.value


@pytest.mark.parametrize("state", [Marked.COPYING, Marked.COPIED])
def test_a_mark_tells_how_far_a_copy_from_this_server_is(state: Marked) -> None:
    new = Store()
    ensureDeferred(mark(new, state, OLD))
    assert ensureDeferred(marked(new, OLD)).result is state
    assert ensureDeferred(marked(new, parse_address("10.0.0.9:6379", "tcp"))).result is Marked.NOT
    ensureDeferred(unmark(new))
    assert ensureDeferred(marked(new, OLD)).result is Marked.NOT
