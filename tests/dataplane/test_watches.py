"""WATCHes across a switchover: what becomes of one whose proof is given up."""

from __future__ import annotations

import pytest
from twisted.internet.defer import ensureDeferred

from redisproxy.dataplane.watches import Watches
from redisproxy.resp import encode_command as cmd
from tests.simulation.planted import planted
from tests.wire import OK, Client, Wire

LIMIT_S = 1.0


def proof_given_up() -> Client:
    """A client whose WATCH was to be proven, by a server that did not answer in time."""
    wire = Wire()
    client = wire.client()
    client.send(cmd("WATCH", "k"))
    wire.server.send(OK)
    wire.pause()
    proving = ensureDeferred(Watches(wire.registry, wire.uplink_set, wire.clock, LIMIT_S).prove())
    proving.addErrback(lambda _: None)
    wire.turn()
    assert cmd("EXEC") + cmd("WATCH", "k") in wire.server.got(), "it is asked for, and made anew"
    wire.advance(LIMIT_S)
    return client


def test_it_is_lost_because_nobody_knows_what_the_one_made_anew_has_missed() -> None:
    session = proof_given_up().inside.session
    assert session.watch_lost and not session.watching


@pytest.mark.one_twin
def test_the_bug_that_kept_it_is_seen() -> None:
    with planted("proof-given-up"):
        assert proof_given_up().inside.session.watching
