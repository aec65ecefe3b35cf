"""A client whose connection to the server is lost, and what is made again on the next one."""

from __future__ import annotations

import pytest

from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.resp import encode_command as cmd
from tests.handlers.caching import GET, ON, VALUE, invalidate, resp3, track
from tests.wire import OK, Client, Wire

pytestmark = pytest.mark.usefixtures("nothing_is_logged")


@pytest.fixture
def client(wire: Wire) -> Client:
    return resp3(wire)


class TestLostUplink:
    def test_the_client_forgets_and_tracking_is_on_before_the_next_command(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client, "OPTOUT")
        pinned.close()
        assert client.got() == INVALIDATE_ALL and not client.closed
        client.send(GET + GET)
        assert wire.server.got() == cmd("CLIENT", "TRACKING", "ON", "OPTOUT") and wire.gate.in_flight == 1
        wire.server.send(OK)
        assert wire.server.got() == GET + GET
        wire.server.send(VALUE + invalidate(b"x") + VALUE)
        assert client.got() == VALUE + invalidate(b"x") + VALUE and wire.gate.in_flight == 0

    def test_it_is_lost_again_while_it_is_made_again(self, wire: Wire, client: Client) -> None:
        track(wire, client).close()
        client.send(GET)
        assert wire.server.got() == ON
        wire.server.close()
        assert wire.server.got() == ON and wire.gate.in_flight == 1
        wire.server.send(OK)
        assert wire.server.got() == GET

    def test_the_gate_closes_before_it_is_made_again(self, wire: Wire, client: Client) -> None:
        track(wire, client).close()
        wire.answer_login = False
        client.send(GET)
        wire.pause()
        wire.answer_login = True
        wire.turn()
        assert wire.server.got() == b"" and wire.gate.in_flight == 0
        wire.unpause()
        assert wire.server.got() == ON

    def test_a_transaction_is_queued_again_behind_it(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(cmd("MULTI"))
        pinned.send(OK)
        pinned.close()
        client.send(GET)
        assert wire.server.got() == ON + cmd("MULTI")
        wire.server.send(OK + OK)
        assert wire.server.got() == GET

    def test_one_that_is_silently_lost_is_found(self) -> None:
        wire = Wire(ping_interval_s=5.0, ping_timeout_s=5.0)
        client = resp3(wire)
        pinned = track(wire, client)
        for _ in range(4):
            wire.advance(5.1)
            for server in wire.servers:
                if server is not pinned and server.got():
                    server.send(b"+PONG\r\n")
            wire.core.uplinks.ping(wire.clock.seconds())  # type: ignore[attr-defined]
            wire.turn()
        assert pinned.got() == cmd("PING") and pinned.closed
        assert client.got() == INVALIDATE_ALL and not client.closed

    @pytest.mark.parametrize("state", ["MULTI", "WATCH x", "BCAST"])
    def test_one_with_more_to_lose_is_not_asked(self, state: str) -> None:
        wire = Wire(ping_interval_s=5.0, ping_timeout_s=5.0)
        client = resp3(wire)
        pinned = track(wire, client, *(["BCAST"] if state == "BCAST" else []))
        if state != "BCAST":
            client.send(cmd(*state.split()))
            pinned.send(OK)
            pinned.got()
        for _ in range(3):
            wire.advance(5.1)
            wire.core.uplinks.ping(wire.clock.seconds())  # type: ignore[attr-defined]
            wire.turn()
        assert pinned.got() == b"" and not pinned.closed

    def test_one_that_waits_for_a_reply_is_dropped(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        client.send(GET)
        pinned.close()
        assert client.closed and client.got() == b""

    def test_one_with_broadcasts_is_dropped(self, wire: Wire, client: Client) -> None:
        track(wire, client, "BCAST").close()
        assert client.closed and wire.metrics.clients.closed["uplink_lost"] == 1

    def test_one_in_the_middle_of_a_message_is_dropped(self, wire: Wire, client: Client) -> None:
        pinned = track(wire, client)
        pinned.send(invalidate(b"k" * 1_000_000)[:700_000])
        pinned.close()
        assert client.closed

    def test_plain_commands_never_pass_it_on_a_shared_connection(self, wire: Wire, client: Client) -> None:
        other = resp3(wire)
        other.send(GET)
        shared = wire.server
        shared.got()
        shared.send(VALUE)
        track(wire, client).close()
        client.send(GET)
        assert shared.got() == b"" and wire.server.got() == ON
