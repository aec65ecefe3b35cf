"""A client's state as bytes: what goes in comes out, and what is anything else is refused with a clear error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redisproxy.client import session_value
from redisproxy.client.session_value import (
    VERSION,
    ClientValue,
    InvalidState,
    MaintenanceValue,
    SessionValue,
    SubscriptionValue,
    TrackingValue,
    TransactionValue,
    from_bytes,
)
from redisproxy.resp import encode_command as cmd

WORDS = st.binary(max_size=20)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).map(str.encode)
SECONDS = st.floats(0, 1e9)
COMMANDS = st.lists(st.tuples(st.sampled_from(["GET", "LPUSH"]), WORDS), max_size=5)


@st.composite
def transactions(draw: st.DrawFn) -> TransactionValue:
    commands = draw(COMMANDS)
    places = draw(st.sets(st.integers(0, len(commands) - 1))) if commands else set()
    return TransactionValue(
        commands=b"".join(cmd(*each) for each in commands),
        count=len(commands),
        own=tuple((place, cmd("CLIENT", "ID")) for place in sorted(places)),
        dead=draw(st.booleans()),
        replayable=True,
        selects=draw(st.booleans()),
        caching=draw(st.sampled_from([b"", cmd("CLIENT", "CACHING", "YES")])),
    )


TRACKING = st.builds(
    TrackingValue,
    flags=st.sampled_from([(), (b"BCAST",), (b"OPTIN", b"NOLOOP")]),
    prefixes=st.lists(WORDS, max_size=3).map(tuple),
    caching=st.sampled_from([b"", b"YES"]),
    owed=st.booleans(),
)
SUBSCRIPTIONS = st.builds(
    SubscriptionValue,
    channels=st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    patterns=st.lists(WORDS, max_size=3).map(tuple),
    shard_channels=st.lists(WORDS, max_size=3).map(tuple),
)
MAINTENANCE = st.builds(
    MaintenanceValue,
    endpoint_type=st.sampled_from([b"none", b"external-ip"]),
    told=st.sampled_from([b"", b"MIGRATED", b"FAILED_OVER"]),
    sequence=st.integers(0, 1 << 50),
)


@st.composite
def clients(draw: st.DrawFn) -> ClientValue:
    subscription = draw(st.none() | SUBSCRIPTIONS)
    watched = draw(st.lists(WORDS, max_size=3).map(tuple) | st.none())
    skip: Any = draw(st.sampled_from(["no", "next", "now"]))
    unread = draw(st.binary(max_size=50))
    session = SessionValue(
        user=draw(st.none() | NAMES),
        failed_logins=draw(st.integers(0, 20)),
        db=draw(st.integers(0, 20)),
        resp_version=draw(st.sampled_from([2, 3])),
        name=draw(NAMES),
        lib_name=draw(NAMES),
        lib_version=draw(NAMES),
        muted=draw(st.booleans()),
        skip=skip,
        skipped_waits=bool(skip == "now" and unread and draw(st.booleans())),
        transaction=draw(st.none() | transactions()) if subscription is None else None,
        watching=bool(watched),
        watch_lost=draw(st.booleans()),
        watched=watched,
        tracking=draw(st.none() | TRACKING),
    )
    return ClientValue(
        id=draw(st.integers(1, 1 << 50)),
        age_s=draw(SECONDS),
        idle_s=draw(SECONDS),
        listener=draw(st.text(max_size=10)),
        peer="127.0.0.1:1234",
        local="[::1]:6379",
        last_command=draw(NAMES),
        session=session,
        subscription=subscription,
        maintenance=draw(st.none() | MAINTENANCE),
        dedicated=draw(st.booleans()),
        unread=unread,
        unsent=draw(st.binary(max_size=50)),
    )


PLAIN = ClientValue(
    id=7,
    age_s=1.5,
    idle_s=0.5,
    listener="127.0.0.1:6379",
    peer="127.0.0.1:1234",
    local="127.0.0.1:6379",
    last_command=b"get",
    session=SessionValue(
        user=b"default",
        failed_logins=0,
        db=0,
        resp_version=2,
        name=b"",
        lib_name=b"",
        lib_version=b"",
        muted=False,
        skip="no",
        skipped_waits=False,
        transaction=None,
        watching=False,
        watch_lost=False,
        watched=(),
        tracking=None,
    ),
    subscription=None,
    maintenance=None,
    dedicated=False,
    unread=b"*2\r\n$3\r\nGET\r\n$6\r\nsecret",
    unsent=b"",
)
TRANSACTION = {
    "commands": "",
    "count": 0,
    "own": [],
    "dead": False,
    "replayable": True,
    "selects": False,
    "caching": "",
}


@given(clients())
def test_what_goes_in_comes_out(value: ClientValue) -> None:
    assert from_bytes(value.to_bytes()) == value


def test_the_form_is_ascii_whatever_bytes_a_client_has_sent() -> None:
    value = PLAIN.model_copy(update={"unread": bytes(range(256))})
    assert value.to_bytes().isascii() and from_bytes(value.to_bytes()).unread == bytes(range(256))


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers(), st.lists).map(lambda x: json.dumps(x).encode())
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidState):
        from_bytes(data)


@given(st.data())
def test_half_of_it_is_refused(data: st.DataObject) -> None:
    whole = PLAIN.to_bytes()
    with pytest.raises(InvalidState):
        from_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    ("where", "what", "text"),
    [
        (["version"], VERSION + 1, f"another version; this process reads version {VERSION}"),
        (["id"], 0, "id: "),
        (["id"], "7", "id: "),
        (["id"], 1 << 60, "id: "),
        (["age_s"], -1, "age_s: "),
        (["age_s"], float("nan"), "age_s: "),
        (["listener"], "x" * 1000, "listener: "),
        (["unread"], "no base64!", "unread: "),
        (["surplus"], 1, "surplus: "),
        (["session", "db"], -1, "session.db: "),
        (["session", "resp_version"], 4, "session.resp_version: "),
        (["session", "skip"], "then", "session.skip: "),
        (["session", "name"], "YSBi", "a name has spaces"),
        (["session", "user"], "YQpi", "control characters"),
        (["session", "watched"], ["YQ=="] * 1001, "session.watched"),
        (["last_command"], "YQpi", "no name of a command"),
        (["session", "skipped_waits"], True, "no command is skipped"),
        (["session", "watching"], True, "a WATCH without its keys"),
        (["session", "tracking"], {"flags": ["QkFE"], "prefixes": [], "caching": "", "owed": False}, "no such option"),
        (["session", "transaction"], {**TRANSACTION, "count": 3}, "not as many"),
        (["session", "transaction"], {**TRANSACTION, "count": 10**30}, "count"),
        (["session", "transaction"], {**TRANSACTION, "commands": "KjE="}, "not as many"),
        (["session", "transaction"], {**TRANSACTION, "own": [[0, "KjENCiQ0DQpQSU5HDQo="]]}, "no place in it"),
        (["session", "transaction"], {**TRANSACTION, "own": [[-1, ""]]}, "no place in it"),
        (["subscription"], {}, "subscriptions or monitors"),
        (["subscription"], {"channels": ["YQ=="], "monitor": True}, "subscriptions or monitors"),
        (["maintenance"], {"endpoint_type": "YQ==", "told": "", "sequence": 0}, "no such maintenance"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_name_and_without_its_data(
    where: list[str], what: Any, text: str
) -> None:
    document = json.loads(PLAIN.to_bytes())
    place = document
    for each in where[:-1]:
        place = place[each]
    place[where[-1]] = what
    with pytest.raises(InvalidState) as refused:
        from_bytes(json.dumps(document).encode())
    assert text in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_subscriber_with_a_transaction_is_refused() -> None:
    document = json.loads(PLAIN.to_bytes())
    document["session"]["transaction"] = TRANSACTION
    document["subscription"] = {"channels": ["YQ=="]}
    with pytest.raises(InvalidState, match="a subscriber has a MULTI open"):
        from_bytes(json.dumps(document).encode())


def test_more_bytes_than_any_client_can_have_are_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_value, "MAX_BYTES", 10)
    with pytest.raises(InvalidState, match="larger than any can be"):
        from_bytes(PLAIN.to_bytes())


def test_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidState):
        from_bytes(b"[" * 1000000)


def test_what_a_client_has_sent_is_in_no_repr() -> None:
    assert "secret" not in repr(PLAIN)
