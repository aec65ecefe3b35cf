"""Where user and password for a server come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from redisproxy.config import UplinkSettings
from redisproxy.net.twisted_network import TwistedNetwork
from redisproxy.servers.credentials import credentials_of, sentinel_credentials_of
from redisproxy.uplink import Credentials

NETWORK: Any = TwistedNetwork(Clock())


def asked(source: Any) -> Credentials:
    found: list[Credentials] = []
    source.ask().addCallback(found.append)
    return found[0]


def test_a_password_of_the_configuration_stays() -> None:
    uplink = UplinkSettings.model_validate({"addr": "a:1", "user": "u", "pass": "p"})
    source = credentials_of(uplink, NETWORK)
    assert asked(source) == source.current == Credentials("u", "p") and not source.due
    assert asked(credentials_of(UplinkSettings(addr="a:1"), NETWORK)) == Credentials(None, None)


@pytest.mark.parametrize("of_sentinels", [False, True])
def test_a_password_in_a_file_is_its_first_line_and_changes_with_it(tmp_path: Path, of_sentinels: bool) -> None:
    path = tmp_path / "file"
    path.write_text("first\nnext\n")
    prefix = "sentinel_" if of_sentinels else ""
    keys = {f"{prefix}user": "u", f"{prefix}pass": "first", f"{prefix}passfile": str(path)}
    place = {"sentinels": ("a:1",), "master_name": "m"} if of_sentinels else {"addr": "a:1"}
    uplink = UplinkSettings.model_validate({**place, **keys})
    source = sentinel_credentials_of(uplink) if of_sentinels else credentials_of(uplink, NETWORK)
    assert asked(source) == Credentials("u", "first")
    path.write_text("next\n")
    assert asked(source) == source.current == Credentials("u", "next")
    assert source.current is source.current, "who compares does so once a second"
    path.write_text("\n")
    assert asked(source) == Credentials("u", "next")


def test_connections_to_one_server_share_what_a_program_has_said() -> None:
    network: Any = TwistedNetwork(Clock())
    uplink = UplinkSettings.model_validate(
        {"addr": "a:1", "user": "u", "passcommand": ("x", "y"), "pass_ttl_ms": 10000}
    )
    first, second = credentials_of(uplink, network), credentials_of(uplink, network)
    program = network.passwords.of(("x", "y"), 10.0, 10.0)
    assert first.current is None and not first.failures
    program.password = "printed"
    assert asked(first) == asked(second) == first.current == Credentials("u", "printed")
    network._reactor.advance(8)
    assert first.due
    first.refused(Credentials("u", "printed"))
    assert program._stale
