"""What programs of two releases tell each other does not change without a new version of the orders."""

from __future__ import annotations

import json

from tests.remote.wire_format import RECORD, wire_format


def test_the_orders_are_those_of_their_version() -> None:
    """When this fails: a program of the release before can't speak with this one.

    Raise VERSION in C{remote/order.py} once a release has the recorded ones, say there what is spoken with the older
    one, and record: C{python -m tests.remote.wire_format}.
    """
    assert RECORD.exists(), "record the wire format of the new version: python -m tests.remote.wire_format"
    assert json.loads(json.dumps(wire_format())) == json.loads(RECORD.read_text())


def test_every_change_is_seen() -> None:
    orders = wire_format()["orders"]
    assert orders["Adopt"]["takes"] == {
        "number": "Integer",
        "state": {"format": "binary", "type": "string"},
        "descriptor": "Descriptor",
    }
    assert orders["GetReady"]["answers"]["answer"]["properties"].keys() == {"pid", "version", "doors"}
    assert orders["Greet"]["takes"].keys() == {"number", "oldest", "newest"}
