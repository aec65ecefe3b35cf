"""What clients share and count on when another process goes on with them."""

from __future__ import annotations

import json

import pytest

from redisproxy.client.session_value import InvalidState
from redisproxy.dataplane import shared_value
from redisproxy.resp import encode_command as cmd
from redisproxy.shared.scan_cursors import SHIFT
from tests.dataplane.planes import Planes
from tests.wire import Client, Wire

BODY = "return 1"


def move(planes: Planes) -> None:
    """Have the new data plane take in what the clients of the old one share."""
    state = shared_value.export(planes.old.core, planes.old.registry)
    shared_value.take_in(state, planes.new.core, planes.new.registry)


def scanned(wire: Wire, client: Client, asked: int, given: int) -> tuple[bytes, bytes]:
    """What a SCAN with this cursor sends, and what it gets when the server gives that one."""
    client.send(cmd("SCAN", asked))
    sent = wire.server.got()
    text = b"%d" % given
    wire.server.send(b"*2\r\n$%d\r\n%s\r\n*0\r\n" % (len(text), text))
    return sent, client.got()


def test_a_cursor_from_before_goes_on_and_one_of_an_earlier_server_stays_stale() -> None:
    planes = Planes()
    planes.old.core.cursors.server_number = 2
    client = planes.client()
    _, reply = scanned(planes.old, client, 0, 7)
    cursor = int(reply.split(b"\r\n")[2])
    assert cursor >> SHIFT == 2
    move(planes)
    planes.hand_over(client)
    sent, _ = scanned(planes.new, client, cursor, 0)
    assert sent == cmd("SCAN", 7)
    assert client.ask("SCAN", 1 << SHIFT | 7).startswith(b"-ERR redisproxy: this cursor")


def test_marks_for_a_proxy_further_on_keep_their_meaning_and_new_ones_do_not_take_them() -> None:
    planes = Planes()
    client = planes.client()
    _, reply = scanned(planes.old, client, 0, 5 << SHIFT | 7)
    cursor = int(reply.split(b"\r\n")[2])
    move(planes)
    planes.hand_over(client)
    sent, reply = scanned(planes.new, client, cursor, 6 << SHIFT | 7)
    assert sent == cmd("SCAN", 5 << SHIFT | 7)
    other = int(reply.split(b"\r\n")[2])
    assert other >> SHIFT != cursor >> SHIFT
    assert scanned(planes.new, client, cursor, 0)[0] == cmd("SCAN", 5 << SHIFT | 7)


def test_scripts_are_learned_beside_what_there_is() -> None:
    planes = Planes()
    for at, core in enumerate((planes.old.core, planes.new.core)):
        core.cursors.server_number = at
        core.scripts.see([b"SCRIPT", b"LOAD", b"return %d" % at])
    shared_value.learn(shared_value.export(planes.old.core, planes.old.registry), planes.new.core)
    assert planes.new.core.scripts.bodies == (b"return 1", b"return 0")
    assert planes.new.core.cursors.server_number == 1


def test_scripts_that_have_passed_are_remembered_for_the_next_move() -> None:
    planes = Planes()
    client = planes.client()
    client.send(cmd("EVAL", BODY, 0))
    move(planes)
    assert planes.new.core.scripts.bodies == (BODY.encode(),)


def test_ids_of_clients_that_have_left_are_not_given_again() -> None:
    planes = Planes()
    for _ in range(5):
        planes.client()
    move(planes)
    assert planes.new.client().ask("CLIENT", "ID") == b":6\r\n"


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"server_number": -1}, {"cursor_marks": [[0, 1, 2]]}, {"cursor_marks": [[5000, 1, 2]]}, {"x": 1}],
)
def test_anything_else_is_refused_and_changes_nothing(change: dict[str, object]) -> None:
    planes = Planes()
    document = json.loads(shared_value.export(planes.old.core, planes.old.registry))
    with pytest.raises(InvalidState):
        shared_value.take_in(json.dumps({**document, **change}).encode(), planes.new.core, planes.new.registry)
    with pytest.raises(InvalidState):
        shared_value.take_in(b"", planes.new.core, planes.new.registry)
    assert planes.new.core.cursors.server_number == 0 and not planes.new.core.scripts.bodies
