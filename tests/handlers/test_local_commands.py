"""Commands that the proxy answers itself."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire

GET = cmd("GET", "a")


@pytest.mark.parametrize(
    ("args", "answer"),
    [
        (["HELLO", "4"], b"-NOPROTO unsupported protocol version\r\n"),
        (["HELLO", "-3"], b"-NOPROTO unsupported protocol version\r\n"),
        (["HELLO", "03"], b"-ERR Protocol version is not an integer or out of range\r\n"),
        (["HELLO", "x"], b"-ERR Protocol version is not an integer or out of range\r\n"),
        (["HELLO", "2", "NOPE"], b"-ERR Syntax error in HELLO option 'NOPE'\r\n"),
        (["CLIENT"], b"-ERR wrong number of arguments for 'client' command\r\n"),
        (["CLIENT", "NOPE"], b"-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\n"),
        (
            ["CLIENT", "SETNAME", "a b"],
            b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
        ),
        (["CLIENT", "KILL", "1.2.3.4:5"], b"-ERR No such client\r\n"),
        (["CLIENT", "KILL", "ID", "77"], b":0\r\n"),
        (["CLIENT", "NO-EVICT", "on"], OK),
        (["CLIENT", "SETINFO", "lib-name", "x"], OK),
        (["CLIENT", "GETREDIR"], b":-1\r\n"),
        (["ACL", "WHOAMI"], b"$7\r\ndefault\r\n"),
    ],
)
def test_an_answer(wire: Wire, args: list[str], answer: bytes) -> None:
    client = wire.client()
    client.send(GET)
    wire.server.send(b":1\r\n")
    client.got()
    assert client.ask(*args) == answer


def test_quit_answers_and_closes(wire: Wire) -> None:
    client = wire.client()
    assert client.ask("QUIT") == OK
    wire.turn()
    assert client.closed
