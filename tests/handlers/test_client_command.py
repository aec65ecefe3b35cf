"""CLIENT and its subcommands."""

from __future__ import annotations

import time

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire

GET = cmd("GET", "a")


def test_ids_grow_and_names_are_kept(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    assert one.ask("CLIENT", "ID") == b":1\r\n" and two.ask("CLIENT", "ID") == b":2\r\n"
    one.ask("CLIENT", "SETNAME", "first")
    listed = two.ask("CLIENT", "LIST")
    assert b"id=1 " in listed and b"name=first" in listed and b"id=2 " in listed
    assert b"id=2 " not in two.ask("CLIENT", "LIST", "ID", 1)


def test_an_id_that_nobody_can_have_is_an_id(wire: Wire) -> None:
    client = wire.client()
    for nobody in (0, -1):
        assert client.ask("CLIENT", "UNBLOCK", nobody) == b":0\r\n"
        assert client.ask("CLIENT", "LIST", "ID", nobody) == b"$0\r\n\r\n"
        assert client.ask("CLIENT", "KILL", "ID", nobody) == b"-ERR client-id should be greater than 0\r\n"
    for none in ("01", "+1", "1.0", ""):
        assert client.ask("CLIENT", "UNBLOCK", none) == b"-ERR value is not an integer or out of range\r\n"
        assert client.ask("CLIENT", "LIST", "ID", none) == b"-ERR Invalid client ID\r\n"


def test_reset_forgets_the_name_and_not_the_library(wire: Wire) -> None:
    client = wire.client()
    for told in (("SETNAME", "me"), ("SETINFO", "lib-name", "lib"), ("SETINFO", "lib-ver", "1.2")):
        assert client.ask("CLIENT", *told) == OK
    assert client.ask("RESET") == b"+RESET\r\n"
    assert b" name= " in (info := client.ask("CLIENT", "INFO")) and b" lib-name=lib lib-ver=1.2\n" in info


def test_kill_by_id_closes_the_other_and_not_oneself(wire: Wire) -> None:
    one, two = wire.client(), wire.client()
    assert one.ask("CLIENT", "KILL", "ID", 2) == b":1\r\n" and two.closed
    assert one.ask("CLIENT", "KILL", "TYPE", "normal") == b":0\r\n" and not one.closed
    assert one.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") == b":1\r\n"
    wire.turn()
    assert one.closed


def test_who_kills_itself_is_told_and_runs_nothing_more(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("CLIENT", "KILL", "ID", 1, "SKIPME", "no") + GET)
    assert client.got() == b":1\r\n" and client.transport.disconnecting
    wire.turn()
    assert client.closed and not wire.servers


def test_reply_off_and_on(wire: Wire) -> None:
    client = wire.client()
    assert client.ask("CLIENT", "REPLY", "OFF") == b""
    client.send(GET)
    wire.server.send(b":1\r\n")
    assert client.got() == b""
    assert client.ask("CLIENT", "REPLY", "ON") == OK


def test_reply_skip_skips_one(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("CLIENT", "REPLY", "SKIP") + GET + GET)
    wire.server.send(b":1\r\n")
    wire.server.send(b":2\r\n")
    assert client.got() == b":2\r\n"


def test_lists_of_clients_that_nobody_gets_cost_nothing(wire: Wire) -> None:
    clients = [wire.client() for _ in range(90)]
    clients[0].ask("CLIENT", "REPLY", "OFF")
    began = time.process_time()
    clients[0].send(b"CLIENT LIST\r\n" * 5000)
    assert time.process_time() - began < 0.7
    assert b"id=90 " in clients[0].ask("CLIENT", "REPLY", "ON") + clients[0].ask("CLIENT", "LIST")
