"""Which keys a command changes without the server telling of it, as its arguments say."""

from __future__ import annotations

import pytest

from redisproxy.commands.changed_keys import EVERYTHING, FLUSHED, FUNCTIONS, Change, SilentChanges, unknown_writes

SILENT = SilentChanges()


def of(line: str, whole: bool = True) -> Change | None:
    return SILENT.of([word.encode() for word in line.split()], whole)


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("XACK s g 1-1 2-1", "s"),
        ("xack s g 1-1", "s"),
        ("XGROUP CREATE s g $", "s"),
        ("xgroup delconsumer s g c", "s"),
        ("XREADGROUP GROUP g c STREAMS a b > >", "a b"),
        ("XREADGROUP GROUP streams block COUNT 1 BLOCK 5 NOACK STREAMS a b > >", "a b"),
        ("XREADGROUP COUNT streams GROUP g c streams a >", "a"),
        ("XREADGROUP GROUP g c CLAIM 5 STREAMS a >", "a"),
        ("PFDEBUG TODENSE p", "p"),
        ("CMS.INCRBY m x 1", "m"),
        ("PFCOUNT a b", "a b"),
        ("VADD v VALUES 1 1 e", "v"),
        ("VREM v e", "v"),
    ],
)
def test_keys(line: str, keys: str) -> None:
    assert of(line) == Change(keys=tuple(keys.encode().split()))


@pytest.mark.parametrize(
    "line",
    [
        *(
            "GET k",
            "SET k v",
            "XADD s * f v",
            "XGROUP HELP",
            "XGROUP",
            "FUNCTION LIST",
            "XREADGROUP",
            "EVAL",
            "FCALL f",
        ),
        *(
            "EVAL_RO x 1 k",
            "FCALL_RO f 1 k",
            "EVAL x 0",
            "EVAL x many k",
            "EVAL x -1 k",
            "XREADGROUP GROUP g c STREAMS",
        ),
    ],
)
def test_nothing(line: str) -> None:
    assert of(line) is None


def test_what_a_script_declares_may_change() -> None:
    assert of("EVALSHA x 2 a b c") == Change(perhaps=(b"a", b"b")) == of("fcall f 2 a b c")


def test_what_has_no_keys() -> None:
    assert of("SWAPDB 0 1") == EVERYTHING and of("function load replace x") == FUNCTIONS


@pytest.mark.parametrize(
    ("line", "change"),
    [
        ("XACK s g", Change(keys=(b"s",))),
        ("XACK", EVERYTHING),
        ("XREADGROUP GROUP g c STREAMS a b", EVERYTHING),
        ("EVAL x 2 a", EVERYTHING),
        ("EVAL x", EVERYTHING),
        ("EVAL x 1 a b", Change(perhaps=(b"a",))),
    ],
)
def test_of_a_command_that_has_not_arrived_whole_the_first_arguments_count(line: str, change: Change) -> None:
    assert of(line, whole=False) == change


def command(name: str, flags: str, keys: tuple[int, int, int], *subcommands: list[object]) -> list[object]:
    return [name.encode(), -2, flags.encode().split(), *keys, [], [], [], list(subcommands)]


def test_write_commands_that_nobody_has_tried_count_as_silent() -> None:
    reply = [
        command("new.add", "write denyoom", (1, -1, 2)),
        command("new.somewhere", "write", (0, 0, 0)),
        command("new.read", "readonly", (1, 1, 1)),
        command("set", "write", (1, 1, 1)),
        command("xack", "write", (1, 1, 1)),
        command("new", "", (0, 0, 0), command("new|make", "write", (2, 2, 1)), command("new|look", "", (2, 2, 1))),
    ]
    unknown = unknown_writes(reply)
    assert unknown == {"NEW.ADD": (1, -1, 2), "NEW.SOMEWHERE": (0, 0, 0), "NEW|MAKE": (2, 2, 1)}
    silent = SilentChanges(unknown)
    assert silent.of([b"new.add", b"a", b"1", b"b", b"2"]) == Change(keys=(b"a", b"b"))
    assert silent.of([b"NEW.SOMEWHERE", b"a"]) == EVERYTHING
    assert silent.of([b"new", b"make", b"k"]) == Change(keys=(b"k",)) and silent.of([b"new", b"look", b"k"]) is None
    assert silent.of([b"NEW.ADD", b"a"], whole=False) == EVERYTHING
    assert {b"NEW.ADD", b"NEW", b"XACK", b"EVAL"} <= silent.names and b"SET" not in silent.names


def test_redis_6_lists_a_command_without_its_subcommands() -> None:
    assert unknown_writes([command("xgroup", "write", (2, 2, 1))]) == {}


@pytest.mark.parametrize("reply", [None, b"ERR", [None], [[]], [[1, 2, 3, 4, 5, 6]], [[b"x", 1, b"write", 1, 1, 1]]])
def test_an_answer_that_is_none_tells_of_nothing(reply: object) -> None:
    assert unknown_writes(reply) == {}


@pytest.mark.parametrize("line", ["FLUSHALL", "flushdb ASYNC"])
def test_emptying_databases_is_known_of(line: str) -> None:
    assert of(line) == FLUSHED
