"""Somebody else makes another server the primary: clients are held, for a bounded time, and go on there.

The uplink is a name, in memory; L{redisproxy.sentinel.named} and L{redisproxy.dataplane.demotion} play together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redisproxy.sentinel.named import NamedFinder
from tests.control.rig import Client, Outcome, Rig
from tests.simulation.redis import Server
from tests.simulation.values import Error

MakeRig = Callable[..., Rig]
OK, READONLY = b"+OK\r\n", b"-READONLY You can't write against a read only replica.\r\n"
NAME = "redis.test:6379"


@pytest.fixture
def named(make_rig: MakeRig) -> Rig:
    """A rig whose uplink is a name, which points to the first server; the second one follows that."""
    rig = make_rig(uplink={"addr": NAME, "resolve_ms": 2000, "wait_limit_ms": 3000})
    rig.servers[1].follow("10.0.0.1", 6379)
    rig.advance(0.5)
    assert place(rig) == "10.0.0.1:6379"
    return rig


def place(rig: Rig) -> str:
    """Where connections go."""
    return str(rig.local.in_force.settings.uplink.place)


def point_to(rig: Rig, *servers: Server) -> None:
    rig.net.names["redis.test"] = [server.name.partition(":")[0] for server in servers]


def exchange(rig: Rig) -> None:
    """The second server becomes the primary, and the first one its replica."""
    rig.servers[1].promote()
    rig.servers[0].follow("10.0.0.2", 6379)


def write(rig: Rig, client: Client, value: str = "1") -> bytes:
    """Send a SET and let a moment pass; what has been answered to the client since."""
    seen = len(client.got)
    client.send("SET", "key", value)
    rig.advance(0.02)
    return client.got[seen:]


def info(rig: Rig) -> Any:
    asked = Outcome(rig.operations.info())
    rig.advance(0.01)
    return asked.value["uplink"]


def test_the_name_is_looked_up_at_the_start(named: Rig) -> None:
    assert write(named, named.client()) == OK and named.server == NAME
    told = info(named)["name"]
    assert told["name"] == NAME and told["in_use"] == "10.0.0.1:6379" and told["switches"] == 0
    assert told["addresses"] == ["10.0.0.1:6379"] and told["last_error"] == ""


def test_a_name_that_points_elsewhere_is_followed_with_all_clients(named: Rig) -> None:
    client = named.client()
    assert write(named, client) == OK
    named.servers[1].promote()
    point_to(named, named.servers[1])
    named.advance(2.2)
    assert place(named) == "10.0.0.2:6379" and write(named, client) == OK and not client.gone
    assert named.servers[1].dbs[0][b"key"] == b"1" and info(named)["name"]["switches"] == 1


def test_a_server_that_is_a_replica_still_is_not_gone_to(named: Rig) -> None:
    client = named.client()
    point_to(named, named.servers[1])
    named.advance(5)
    assert place(named) == "10.0.0.1:6379" and write(named, client) == OK
    assert "a replica" in info(named)["name"]["last_error"]
    named.servers[1].promote()
    named.advance(2.2)
    assert place(named) == "10.0.0.2:6379" and write(named, client) == OK


def test_only_what_was_in_flight_sees_a_demotion(named: Rig) -> None:
    first, second = named.client(), named.client()
    assert [write(named, each) for each in (first, second)] == [OK, OK]
    exchange(named)
    assert write(named, first) == READONLY and not named.gate.open
    assert write(named, first, "2") == write(named, second, "3") == b""
    named.advance(1)
    point_to(named, named.servers[1])
    named.advance(0.5)
    assert named.gate.open and place(named) == "10.0.0.2:6379"
    assert first.got == OK + READONLY + OK and second.got == OK + OK
    assert named.servers[1].dbs[0][b"key"] in (b"2", b"3")


def test_nobody_is_held_for_longer_than_the_limit_nor_again(named: Rig) -> None:
    client = named.client()
    write(named, client)
    exchange(named)
    write(named, client)
    assert write(named, client) == b""
    named.advance(2.5)
    assert not named.gate.open
    named.advance(0.7)
    assert named.gate.open and client.got == OK + READONLY + READONLY
    assert write(named, client) == READONLY and named.gate.open
    named.advance(2)
    assert write(named, client) == READONLY
    named.servers[0].promote()
    named.advance(1.5)
    assert write(named, client) == OK
    named.servers[0].follow("10.0.0.2", 6379)
    assert write(named, client) == READONLY and not named.gate.open


def test_a_server_that_is_the_primary_again_lets_the_clients_go_on(make_rig: MakeRig) -> None:
    """It needs no name."""
    rig = make_rig()
    client = rig.client()
    write(rig, client)
    rig.servers[0].follow("10.0.0.2", 6379)
    assert write(rig, client) == READONLY and write(rig, client) == b""
    rig.servers[0].promote()
    rig.advance(0.5)
    assert rig.gate.open and client.got == OK + READONLY + OK


def test_a_new_connection_to_a_replica_holds_the_clients(named: Rig) -> None:
    client = named.client()
    write(named, client)
    named.servers[0].crash(0.1)
    named.servers[0].follow("10.0.0.2", 6379)
    named.servers[1].promote()
    named.advance(0.5)
    assert named.gate.reasons == {"demoted"}
    assert write(named, client) == b""
    point_to(named, named.servers[1])
    named.advance(0.5)
    assert named.gate.open and client.got == OK + OK


def test_a_server_that_was_a_replica_from_the_start_holds_nobody(make_rig: MakeRig) -> None:
    rig = make_rig(uplink={"addr": NAME})
    rig.servers[0].follow("10.0.0.2", 6379)
    rig.servers[0].crash(0.1)
    rig.advance(5)
    reader = make_rig(uplink={"addr": "10.0.0.1:6379"})
    reader.servers[0].follow("10.0.0.2", 6379)
    reader.servers[0].crash(0.1)
    reader.advance(20)
    client = reader.client()
    assert write(reader, client) == READONLY and reader.gate.open


def test_of_several_addresses_the_primary_is_taken(named: Rig) -> None:
    client = named.client()
    point_to(named, *named.servers)
    named.advance(2.2)
    assert place(named) == "10.0.0.1:6379" and info(named)["name"]["switches"] == 0
    write(named, client)
    exchange(named)
    assert write(named, client) == READONLY
    named.advance(0.5)
    assert place(named) == "10.0.0.2:6379" and write(named, client) == OK


def test_a_lost_connection_has_the_name_looked_up_at_once(named: Rig) -> None:
    client = named.client()
    write(named, client)
    named.servers[1].promote()
    point_to(named, named.servers[1])
    named.servers[0].crash(60)
    named.advance(0.5)
    assert place(named) == "10.0.0.2:6379" and write(named, client) == OK


def test_looking_is_bounded_whatever_clients_do(named: Rig) -> None:
    client = named.client()
    write(named, client)
    before = named.net.looked_up
    exchange(named)
    for _ in range(300):
        client.send("SET", "key", "1")
        named.advance(0.01)
    assert named.net.looked_up - before <= 14


def test_scripts_that_answer_readonly_hold_others_seldom_and_for_one_round_trip(make_rig: MakeRig) -> None:
    rig = make_rig()
    server, carry_out, held = rig.servers[0], rig.servers[0].command, []

    def command(connection: Any, args: list[bytes]) -> Any:
        return Error("READONLY so he says") if args[0] == b"GETDEL" else carry_out(connection, args)

    server.command = command  # type: ignore[method-assign]
    client = rig.client()
    write(rig, client)
    hostile = rig.client()
    close = rig.gate.close
    rig.gate.close = lambda reason: (held.append(reason), close(reason))[1]  # type: ignore[method-assign,func-returns-value]
    for _ in range(1000):
        hostile.send("GETDEL", "key")
        rig.advance(0.01)
        assert write(rig, client) == OK
    assert 1 <= len(held) <= 6 and server.repl.primary is None


def test_a_reload_and_a_switchover_to_a_name_go_to_its_address(make_rig: MakeRig) -> None:
    rig = make_rig()
    rig.net.names["new.test"] = ["10.0.0.2"]
    rig.name_server(rig.servers[1], uplink={"addr": "new.test:6379"})
    outcome = Outcome(rig.operations.switchover(False))
    rig.advance(5)
    assert outcome.value["report"]["result"] == "done" and outcome.value["report"]["to"] == "new.test:6379"
    assert place(rig) == "10.0.0.2:6379" and isinstance(rig.control.configuration.finder, NamedFinder)
    rig.orders.clear()
    rig.advance(10)
    assert "prepare" not in rig.orders
    rig.name_server(rig.servers[0], uplink={"addr": "nobody.test:6379"})
    outcome = Outcome(rig.operations.reload())
    rig.advance(1)
    assert "nobody.test can't be looked up" in str(outcome.error) and rig.server == "new.test:6379"


@pytest.mark.parametrize("error", ["LOADING Redis is loading", "MASTERDOWN Link with MASTER is down"])
def test_a_server_without_its_data_is_waited_for(make_rig: MakeRig, error: str) -> None:
    rig = make_rig(uplink={"addr": "10.0.0.1:6379"})
    server, carry_out = rig.servers[0], rig.servers[0].command
    client = rig.client()
    write(rig, client)
    loading = {b"DBSIZE", b"SET"}

    def command(connection: Any, args: list[bytes]) -> Any:
        return Error(error) if args[0] in loading else carry_out(connection, args)

    server.command = command  # type: ignore[method-assign]
    server.crash(0.1)
    rig.advance(0.3)
    assert write(rig, client) == b""
    rig.advance(3)
    assert client.got == OK and error in info(rig)["last_error"]
    loading.clear()
    rig.advance(2.1)
    assert client.got == OK + OK
