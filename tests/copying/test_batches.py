"""How many small keys are read at once: strings without a script, others with it, and what that needs is found out."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred

from redisproxy.copying.batches import ONLY_STRINGS, Batch, Batches
from redisproxy.copying.endpoint import PRIVATE, Features
from redisproxy.copying.small_strings import VALUES_BYTES
from redisproxy.copying.writer import Writer
from redisproxy.resp import bulk, encode_command, parse_replies
from tests.copying.test_bulk_connection import Server

ERROR = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
REFUSED = b"-NOPERM this user has no permissions to run the 'eval' command\r\n"


class Old:
    """An old server that the test plays, and what is read there."""

    def __init__(self, **options: Any) -> None:
        self.server = Server()
        features = Features(**options.pop("features", {}))
        self.batches = Batches(self.server.connection, features, frozenset(), **options)

    def next(self, expiring: bool = False) -> list[Batch]:
        got: list[Any] = []
        ensureDeferred(self.batches.next(b"0", 10, expiring)).addBoth(got.append)
        return got

    def says(self, *parts: bytes) -> None:
        self.server.says(b"".join(parts))

    @property
    def asked(self) -> list[Any]:
        """The commands since this was asked last."""
        commands: list[Any] = parse_replies(self.server.transport.value())
        self.server.transport.clear()
        return commands


def scan(*names: bytes, cursor: bytes = b"0") -> bytes:
    return b"*2\r\n" + bulk(cursor) + encode_command(*names)


def script(*named: bytes, wire: bytes = b"", keys: int = 0) -> bytes:
    return b"*5\r\n$0\r\n\r\n:%d\r\n" % keys + bulk(wire) + encode_command(*named) + b":%d\r\n" % keys


def writes(batch: Batch) -> list[Any]:
    commands = parse_replies(batch.wire)
    assert len(commands) == batch.commands
    return commands


def test_strings_become_one_command() -> None:
    old = Old(many=True)
    got = old.next()
    assert [command[0] for command in old.asked] == [b"SCAN"] * 2
    old.says(scan(b"a", b"\r\n\xff"), scan(b"a", b"\r\n\xff"))
    assert [command[:2] for command in old.asked] == [[b"GETRANGE", b"a"], [b"GETRANGE", b"\r\n\xff"]]
    old.says(bulk(b"12"), bulk(b"\x00\r\n"))
    assert writes(got[0]) == [[b"MSET", b"a", b"12", b"\r\n\xff", b"\x00\r\n"]]
    assert got[0].count == 2 and got[0].named == []


def test_a_server_without_mset_gets_each() -> None:
    old = Old()
    got = old.next()
    old.says(scan(b"a", b"b"), scan(b"a", b"b"), bulk(b"1"), bulk(b"2"))
    assert writes(got[0]) == [[b"SET", b"a", b"1"], [b"SET", b"b", b"2"]]


def test_others_are_left_to_the_script_in_the_same_step() -> None:
    old = Old(many=True)
    got = old.next()
    old.says(scan(b"a"), scan(b"list", b"a"))
    *_, by_script = old.asked
    assert by_script[0] == b"EVAL" and by_script[-1] == b"list"
    restore = encode_command("RESTORE", "list", 0, "dump", "REPLACE", "ABSTTL")
    old.says(bulk(b"1"), script(b"large", wire=restore, keys=1))
    assert [command[0] for command in writes(got[0])] == [b"MSET", b"RESTORE"]
    assert got[0].count == 2 and got[0].named == [b"large"]


def test_what_is_empty_or_gone_or_large_or_no_string_any_more_is_looked_at_again() -> None:
    old = Old(many=True)
    names = [b"a", b"empty", b"large", b"list"]
    got = old.next()
    old.says(scan(*names), scan(*names))
    asked = old.asked[2:]
    assert len(asked) == 4 and int(asked[0][3]) == VALUES_BYTES // 4
    old.says(bulk(b"1"), bulk(b""), bulk(b"x" * (int(asked[0][3]) + 1)), ERROR)
    (again,) = old.asked
    assert not got and again[0] == b"EVAL" and again[-3:] == names[1:]
    old.says(script(b"large", wire=encode_command("SET", "empty", ""), keys=1))
    assert writes(got[0]) == [[b"MSET", b"a", b"1"], [b"SET", b"empty", b""]]
    assert got[0].count == 2 and got[0].named == [b"large"]


def test_times_to_live_are_asked_where_there_may_be_any() -> None:
    old = Old(many=True)
    names = [b"a", b"timed", b"gone"]
    got = old.next(expiring=True)
    old.says(scan(*names), scan(*names))
    asked = [command[:2] for command in old.asked[2:]]
    assert asked == [[command, name] for command in (b"GETRANGE", b"PEXPIRETIME") for name in names]
    old.says(bulk(b"1"), bulk(b"2"), bulk(b"3"), b":-1\r\n:4000000000123\r\n:-2\r\n", script())
    assert writes(got[0]) == [[b"SET", b"timed", b"2", b"PXAT", b"4000000000123"], [b"MSET", b"a", b"1"]]
    assert got[0].count == 2


def test_without_pexpiretime_what_is_left_is_added_to_the_time_of_the_same_millisecond() -> None:
    old = Old(many=True, features={"expiry_times": False})
    names = [b"%d" % at for at in range(42)]
    got = old.next(expiring=True)
    assert [command[0] for command in old.asked] == [b"SCAN"] * 2
    old.says(scan(*names), scan(*names))
    asked = old.asked[len(names) :]
    times = [at for at, command in enumerate(asked) if command == [b"TIME"]]
    assert times == [0, 21, 42, 45] and [command[1] for command in asked if command[0] == b"PTTL"] == names
    clock = [encode_command(b"1700000000", each) for each in (b"123000", b"123999", b"124000", b"124001")]
    left = [b":500\r\n"] * 20, [b":-1\r\n"] + [b":500\r\n"] * 19, [b":-2\r\n", b":7\r\n"]
    old.says(bulk(b"v") * 42, clock[0], *left[0], clock[1], *left[1], clock[2], *left[2], clock[3])
    (again,) = old.asked
    assert again[0] == b"EVAL" and again[-20:] == [*names[21:40], b"40"], "a millisecond was over, and one is gone"
    old.says(script())
    expected = [[b"SET", name, b"v", b"PXAT", b"1700000000623"] for name in names[:20]]
    expected += [[b"SET", b"41", b"v", b"PXAT", b"1700000000131"], [b"MSET", b"20", b"v"]]
    assert writes(got[0]) == expected


def test_where_the_time_is_not_told_keys_that_may_expire_are_looked_at_again() -> None:
    old = Old(many=True, features={"expiry_times": False})
    got = old.next(expiring=True)
    old.says(scan(b"a", b"b"), scan(b"a", b"b"), bulk(b"1"), bulk(b"2"), REFUSED, b":-1\r\n:5\r\n", REFUSED)
    assert old.asked[-1][-1] == b"b"
    old.says(script(b"b"))
    assert writes(got[0]) == [[b"MSET", b"a", b"1"]] and got[0].named == [b"b"]


def test_where_scan_tells_no_types_the_script_reads_all() -> None:
    old = Old()
    old.next()
    old.says(b"-ERR syntax error\r\n", scan(b"a"))
    assert [command[0] for command in old.asked[2:]] == [b"EVAL"]


def test_where_scripts_are_refused_the_rest_is_named() -> None:
    old = Old(many=True)
    got = old.next()
    old.says(scan(b"a", b"empty"), scan(b"a", b"empty", b"list"), bulk(b"1"), bulk(b""), REFUSED)
    assert writes(got[0]) == [[b"MSET", b"a", b"1"]] and got[0].named == [b"list", b"empty"]


def test_where_values_may_not_be_read_so_all_are_named() -> None:
    old = Old(many=True)
    got = old.next()
    old.says(scan(b"a", b"b"), scan(b"a", b"b"), REFUSED * 3)
    assert got[0].named == [b"a", b"b"] and not got[0].commands


def test_the_proxys_own_keys_are_left_out() -> None:
    old = Old(many=True)
    got = old.next()
    old.says(scan(b"a", PRIVATE + b"copy"), scan(b"a", PRIVATE + b"copy", PRIVATE + b"list"), bulk(b"1"))
    assert writes(got[0]) == [[b"MSET", b"a", b"1"]] and got[0].named == []


def test_among_nothing_but_strings_types_are_not_asked_until_there_is_another() -> None:
    old = Old(many=True)
    names = [b"%d" % at for at in range(ONLY_STRINGS)]
    old.next()
    old.says(scan(*names), scan(*names), bulk(b"1") * ONLY_STRINGS)
    assert old.asked
    got = old.next()
    assert [command[0] for command in old.asked] == [b"SCAN"]
    old.says(scan(b"a", b"list"), bulk(b"1"), ERROR)
    assert [command[0] for command in old.asked] == [b"GETRANGE", b"GETRANGE", b"EVAL"]
    old.says(script(b"list"))
    assert writes(got[0]) == [[b"MSET", b"a", b"1"]] and got[0].named == [b"list"]
    old.next()
    assert [command[0] for command in old.asked] == [b"SCAN"] * 2


def test_all_keys_of_an_mset_that_is_refused_are_copied_otherwise() -> None:
    new, refused = Server(), list[Any]()
    writer = Writer(new.connection)
    wire = encode_command("MSET", "a", "MSET", "b", "2") + encode_command("SET", "c", "3", "PXAT", "4")
    ensureDeferred(writer.restore(wire, 2))
    ensureDeferred(writer.settled()).addBoth(refused.append)
    new.says(b"-ERR string exceeds maximum allowed size\r\n" * 2)
    assert refused == [[b"a", b"b", b"c"]]
