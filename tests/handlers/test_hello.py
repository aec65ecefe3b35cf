"""HELLO."""

from __future__ import annotations

from redisproxy.resp import encode_command as cmd
from tests.wire import Wire


def test_hello_authenticates() -> None:
    wire = Wire(password="secret")
    client = wire.client()
    assert client.ask("HELLO", 3).startswith(b"-NOAUTH HELLO must be called")
    answer = client.ask("HELLO", 3, "AUTH", "default", "secret", "SETNAME", "me")
    assert answer.startswith(b"%7\r\n")
    assert client.ask("CLIENT", "GETNAME") == b"$2\r\nme\r\n"


def test_a_name_is_bounded_as_it_is_for_client_setname(wire: Wire) -> None:
    client = wire.client()
    client.ask("HELLO", 2)
    for ask in (("HELLO", 2, "SETNAME"), ("CLIENT", "SETNAME")):
        assert client.ask(*ask, "n" * 1025).startswith(b"-ERR Client names cannot contain")
        assert client.ask("CLIENT", "GETNAME") == b"$-1\r\n"
    assert client.ask("HELLO", 2, "SETNAME", "n" * 1024).startswith(b"*14\r\n")
    assert len(client.ask("CLIENT", "GETNAME")) == 1024 + len("$1024\r\n\r\n")


def test_hello_2_and_3(wire: Wire) -> None:
    client = wire.client()
    assert b"$6\r\n7.0.15\r\n" in client.ask("HELLO")
    assert client.ask("HELLO", 3).startswith(b"%7\r\n")
    assert client.ask("CLIENT", "GETNAME") == b"_\r\n"
    assert client.ask("HELLO", 2).startswith(b"*14\r\n")
    assert client.ask("CLIENT", "GETNAME") == b"$-1\r\n"


def test_hello_with_a_server_that_does_not_know_it(wire: Wire) -> None:
    wire.answer_login = False
    client = wire.client()
    client.send(cmd("HELLO", 2))
    wire.server.got()
    wire.server.send(b"-ERR unknown command 'HELLO'\r\n+OK\r\n:0\r\n+OK\r\n")
    assert wire.server.got() == cmd("PING") + cmd("DBSIZE") + cmd("SELECT", 0)
    wire.server.send(b"+PONG\r\n:0\r\n+OK\r\n")
    assert client.got().startswith(b"*14\r\n") and not client.closed
