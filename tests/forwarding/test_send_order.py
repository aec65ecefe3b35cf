"""What arrived first leaves first, whatever connection it leaves on; and XREAD's last id is asked for in that order."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from tests.uplink.sharing import GET, connected
from tests.wire import Wire


class TestTheOrderOfSending:
    @pytest.mark.parametrize("first", [cmd("BLPOP", "k", 0), cmd("MULTI"), cmd("WATCH", "k")])
    def test_what_arrived_first_in_a_turn_leaves_first(self, wire: Wire, first: bytes) -> None:
        a, b, c = (connected(wire) for _ in range(3))
        a.send(cmd("BLPOP", "x", 0))  # leaves a connection of its own at hand
        wire.server.send(b"*2\r\n$1\r\nx\r\n$1\r\n1\r\n")
        written = record(wire)
        for client, data in ((c, GET), (a, first), (b, cmd("SET", "a", 1)), (c, cmd("SET", "a", 2))):
            client.transport.protocol.dataReceived(data)
        wire.turn()
        assert b"".join(written) == GET + first + cmd("SET", "a", 1) + cmd("SET", "a", 2)

    def test_who_shares_a_connection_still_sends_in_one_piece(self, wire: Wire) -> None:
        a, b = connected(wire), connected(wire)
        written = record(wire)
        for _ in range(3):
            a.transport.protocol.dataReceived(GET)
            b.transport.protocol.dataReceived(GET)
        wire.turn()
        assert written == [GET * 6]

    def test_the_last_id_of_a_stream_is_asked_for_before_what_comes_after(self, wire: Wire) -> None:
        a, b = connected(wire), connected(wire)
        ask = cmd("XREVRANGE", "s", "+", "-", "COUNT", 1)
        a.transport.protocol.dataReceived(cmd("XREAD", "BLOCK", 0, "STREAMS", "s", "$"))
        b.transport.protocol.dataReceived(cmd("XADD", "s", "2-0", "f", "v"))
        wire.turn()
        assert wire.servers[0].got() == ask + cmd("XADD", "s", "2-0", "f", "v")
        wire.servers[0].send(b"*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n" + b"$3\r\n2-0\r\n")
        assert wire.servers[1].got() == cmd("XREAD", "BLOCK", 0, "STREAMS", "s", "1-0")

    def test_a_last_entry_that_is_too_large_is_an_error(self, wire: Wire) -> None:
        client = connected(wire)
        client.send(cmd("XREAD", "BLOCK", 0, "STREAMS", "s", "$") + GET)
        size = 5000000
        entry = b"*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$%d\r\n" % size + b"v" * size + b"\r\n"
        wire.servers[0].send(entry)
        wire.servers[0].send(b":1\r\n")
        got = client.got()
        assert got.startswith(b"-ERR redisproxy can't tell") and got.endswith(b":1\r\n")


def record(wire: Wire) -> list[bytes]:
    """Every piece that is written to the server from now on, in order, whatever connection it goes to."""
    written: list[bytes] = []
    for server in wire.servers:
        plain = server.transport.write

        def write(data: bytes, plain: object = plain) -> None:
            written.append(data)
            plain(data)  # type: ignore[operator]

        server.transport.write = write  # type: ignore[method-assign]
    return written
