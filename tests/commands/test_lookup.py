"""How each command is treated: by the table, by the configuration, by what the server says of it."""

from __future__ import annotations

import pytest

from redisproxy.commands.lookup import SPECIAL, CommandTable, asks_for_secret, learn
from redisproxy.commands.treatment import Rule


def rule(line: str, allowed: frozenset[str] = frozenset()) -> Rule:
    return CommandTable(allowed).treatment(line.encode().split()).rule


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("get a", Rule.FORWARD),
        ("NOSUCHCOMMAND a", Rule.FORWARD),
        ("JSON.GET a", Rule.FORWARD),
        ("auth x", Rule.LOCAL),
        ("Hello 3", Rule.LOCAL),
        ("client list", Rule.LOCAL),
        ("client pause 100", Rule.REFUSED),
        ("acl whoami", Rule.LOCAL),
        ("acl setuser x on", Rule.REFUSED),
        ("acl list", Rule.REFUSED),
        ("acl getuser default", Rule.REFUSED),
        ("acl cat", Rule.FORWARD),
        ("config get maxmemory", Rule.FORWARD),
        ("config get require*", Rule.REFUSED),
        ("config get *", Rule.REFUSED),
        ("config get maxmemory masterauth", Rule.REFUSED),
        ("config set maxmemory 1", Rule.REFUSED),
        ("config rewrite", Rule.REFUSED),
        ("config resetstat", Rule.FORWARD),
        ("select 1", Rule.SELECT),
        ("multi", Rule.MULTI),
        ("exec", Rule.EXEC),
        ("watch a", Rule.WATCH),
        ("blpop a 0", Rule.BLOCKING),
        ("bzmpop 0 1 a MIN", Rule.BLOCKING),
        ("xread streams a 0", Rule.FORWARD),
        ("xread count 2 block 0 streams a 0", Rule.BLOCKING),
        ("xread count block streams a 0", Rule.FORWARD),
        ("xread streams block 0", Rule.FORWARD),
        ("xreadgroup group block c streams a >", Rule.FORWARD),
        ("xreadgroup group g c count 1 block 10 noack streams a >", Rule.BLOCKING),
        ("xreadgroup count 1 group block c streams a >", Rule.FORWARD),
        ("xreadgroup block 10 group g c streams a >", Rule.BLOCKING),
        ("subscribe a", Rule.REFUSED),
        ("psubscribe a", Rule.REFUSED),
        ("monitor", Rule.REFUSED),
        ("psync ? -1", Rule.REFUSED),
        ("shutdown", Rule.REFUSED),
        ("debug sleep 1", Rule.REFUSED),
        ("replicaof no one", Rule.REFUSED),
        ("failover", Rule.REFUSED),
        ("cluster nodes", Rule.FORWARD),
        ("Cluster Info", Rule.FORWARD),
        ("cluster", Rule.FORWARD),
        ("cluster meet 127.0.0.1 7", Rule.REFUSED),
        ("cluster reset", Rule.REFUSED),
        ("cluster failover", Rule.REFUSED),
        ("cluster addslots 1", Rule.REFUSED),
        ("cluster setslot 1 stable", Rule.REFUSED),
        ("cluster migrateslots x", Rule.REFUSED),
        ("cluster syncslots x", Rule.REFUSED),
        ("cluster brand-new", Rule.REFUSED),
        ("readonly", Rule.CLUSTER_STATE),
        ("asking", Rule.CLUSTER_STATE),
        ("pfdebug getreg k", Rule.FORWARD),
        ("module list", Rule.FORWARD),
        ("client", Rule.LOCAL),
        ("script debug yes", Rule.REFUSED),
        ("module load x", Rule.REFUSED),
        ("script kill", Rule.KILL),
        ("script load x", Rule.SCRIPT),
        ("eval x 0", Rule.EVAL),
        ("evalsha x 0", Rule.EVAL),
        ("sscan k 0", Rule.SCAN),
        ("wait 1 0", Rule.WAIT),
        ("post / http/1.1", Rule.SECURITY),
        ("host: localhost", Rule.SECURITY),
    ],
)
def test_the_treatment_of(line: str, expected: Rule) -> None:
    assert rule(line) is expected


def test_allow_commands_lifts_a_refusal() -> None:
    assert rule("debug sleep 1", frozenset({"DEBUG"})) is Rule.FORWARD
    assert rule("config set a b", frozenset({"CONFIG|SET"})) is Rule.FORWARD
    assert rule("config rewrite", frozenset({"CONFIG|SET"})) is Rule.REFUSED


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("monitor", Rule.MONITOR),
        ("shutdown nosave", Rule.KILL),
        ("client pause 1", Rule.FORWARD),
        ("cluster meet 127.0.0.1 7", Rule.FORWARD),
        ("cluster syncslots x", Rule.REFUSED),
        ("script debug yes", Rule.REFUSED),
        ("sync", Rule.REFUSED),
        ("psync ? -1", Rule.REFUSED),
        ("replconf ack 1", Rule.REFUSED),
        ("subscribe a", Rule.REFUSED),
        ("readonly", Rule.CLUSTER_STATE),
        ("client reply off", Rule.LOCAL),
    ],
)
def test_what_allowing_everything_makes_of(line: str, expected: Rule) -> None:
    names = ("MONITOR", "SHUTDOWN", "CLIENT", "CLUSTER", "SCRIPT", "SYNC", "PSYNC", "REPLCONF", "SUBSCRIBE", "READONLY")
    assert rule(line, frozenset(names)) is expected


def test_a_refused_subcommand_is_named_in_the_error() -> None:
    assert "'cluster|meet'" in CommandTable().treatment([b"CLUSTER", b"meet"]).error
    assert "'config|set'" in CommandTable().treatment([b"config", b"SET", b"a", b"b"]).error


def test_allow_commands_does_not_forward_what_the_proxy_answers() -> None:
    assert rule("auth x", frozenset({"AUTH"})) is Rule.LOCAL


@pytest.mark.parametrize("line", ["subscribe a", "monitor", "psync ? -1", "debug sleep 1", "client pause 1"])
def test_a_refusal_says_why(line: str) -> None:
    text = CommandTable().treatment(line.encode().split()).error
    assert text.startswith(("ERR ", "NOPERM ")) and len(text) > 40


def test_framing_stops_at_every_name_that_is_not_plain() -> None:
    assert {b"AUTH", b"CLIENT", b"ACL", b"CONFIG", b"XREAD", b"BLPOP", b"SUBSCRIBE"} <= SPECIAL
    assert b"GET" not in SPECIAL


@pytest.mark.parametrize(
    "pattern",
    [
        b"requirepass",
        b"REQUIREPASS",
        b"*",
        b"req[u]irepass",
        b"r?quirepass",
        b"\\requirepass",
        b"[^x]equirepass",
    ],
)
def test_a_pattern_that_could_show_a_password_is_found(pattern: bytes) -> None:
    assert asks_for_secret([pattern])


def test_a_pattern_that_shows_none_is_let_through() -> None:
    assert not asks_for_secret([b"max*", b"save"])


def test_the_server_tells_of_commands_that_the_table_does_not_know() -> None:
    reply = [
        [b"get", 2, [b"readonly"], 1, 1, 1],
        [b"publish", 3, [b"pubsub"], 0, 0, 0],
        [b"blpop", -3, [b"write", b"blocking"], 1, -2, 1],
        [b"mod.wait", -1, [b"blocking"], 0, 0, 0],
        [b"mod.listen", -1, [b"pubsub"], 0, 0, 0],
        [b"strange"],
        7,
    ]
    learned = learn(reply)
    assert set(learned) == {"MOD.WAIT", "MOD.LISTEN"} and learn(None) == {}
    table = CommandTable(frozenset(), learned)
    assert table.treatment([b"mod.wait"]).rule is Rule.BLOCKING
    assert table.treatment([b"mod.listen"]).rule is Rule.REFUSED
    assert CommandTable(frozenset({"MOD.LISTEN"}), learned).treatment([b"mod.listen"]).rule is Rule.APART
    assert {b"MOD.WAIT", b"MOD.LISTEN"} <= table.special
