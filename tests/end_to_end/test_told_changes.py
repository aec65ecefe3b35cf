"""Which changes a connection with CLIENT TRACKING is told of, on every server that the tests have.

A copy of a keyspace beside its load relies on it. What is not told is in a table in the code, which has to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from redisproxy.commands.changed_keys import unknown_writes
from redisproxy.commands.silent_changes import SILENT, TOLD
from tests.end_to_end.harness import wait_until
from tests.end_to_end.told import PROGRAMS, SERVERS, Connection, Feed, Found, Trial, changes, running, try_all
from tests.end_to_end.writes import examples

pytestmark = pytest.mark.one_twin

NOT_TRIED = {"CLUSTER|FLUSHSLOT"}  # Only in a cluster, and to the proxy's clients it is refused.

found_on: Callable[[str], Found] = cache(try_all)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_write_command_of_a_server_is_tried_with_arguments_that_change_something(name: str) -> None:
    found = found_on(name)
    containers = {each.partition("|")[0] for each in found.tried if "|" in each}
    assert found.writes.keys() - found.tried - containers == NOT_TRIED & found.writes.keys()


@pytest.mark.parametrize("name", SERVERS)
def test_the_table_has_what_was_not_told(name: str) -> None:
    found = found_on(name)
    told_of = found.tried - found.silent
    assert found.silent == {each for each in found.tried if name in SILENT.get(each, ())}
    assert told_of <= TOLD | SILENT.keys() and not TOLD & SILENT.keys()


@pytest.mark.parametrize("name", SERVERS)
def test_which_keys_change_silently_is_found_in_the_arguments(name: str) -> None:
    assert found_on(name).missed == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_server_has_write_commands_of_which_nobody_knows_whether_they_are_told(name: str) -> None:
    with running(name) as trial:
        assert unknown_writes(trial.writer.do("COMMAND")).keys() <= NOT_TRIED


def test_every_example_changes_something_on_some_server() -> None:
    effective = [each for name in SERVERS for each in found_on(name).effective]
    loaded = {name for server in SERVERS for name in found_on(server).writes}
    idle = [each for each in examples() if each not in effective and (not each.of_module or each.name in loaded)]
    assert idle == []


# -- what is no single command


@pytest.fixture(scope="module", params=PROGRAMS)
def shared_trial(request: pytest.FixtureRequest) -> Iterator[Trial]:
    with running(request.param) as trial:
        yield trial


@pytest.fixture
def trial(shared_trial: Trial) -> Trial:
    shared_trial.clear()
    return shared_trial


def silent(trial: Trial, *action: tuple[Any, ...] | Callable[[], None]) -> set[tuple[int, bytes]]:
    """What changes by these commands without being told; they have to change something."""
    before = trial.state()
    trial.feed.told()
    for each in action:
        if callable(each):
            each()
        else:
            trial.writer.do(*each)
    told, changed = trial.feed.told(), changes(before, trial.state())
    assert changed
    return set() if Feed.EVERYTHING in told else {key for key in changed if key[1] not in told}


def has(trial: Trial, *command: str) -> bool:
    """Whether the server knows the command."""
    return bool(trial.writer.do("COMMAND", "INFO", *command)[0])


def test_the_end_of_a_time_to_live_is_told(trial: Trial) -> None:
    trial.writer.do("SET", "k", 1, "PX", 50)
    assert silent(trial, lambda: wait_until(lambda: not trial.writer.do("DBSIZE"), "the key is gone")) == set()


def test_a_key_that_is_found_expired_by_a_reader_is_told(trial: Trial) -> None:
    trial.writer.do("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        trial.writer.do("SET", "k", 1, "PX", 1)
        assert trial.writer.do("DBSIZE") == 1
        trial.feed.told()
        wait_until(lambda: trial.writer.do("GET", "k") is None, "the key has expired")
        assert trial.feed.told() == {b"k"}
    finally:
        trial.writer.do("DEBUG", "SET-ACTIVE-EXPIRE", 1)


@pytest.mark.parametrize("fields", [("a",), ("a", "b")])
def test_the_end_of_a_field_is_told(trial: Trial, fields: tuple[str, ...]) -> None:
    if not has(trial, "HPEXPIRE"):
        pytest.skip("this server has no fields with a time to live")
    trial.writer.do("HSET", "h", "a", 1, "b", 2)
    trial.writer.do("HPEXPIRE", "h", 50, "FIELDS", len(fields), *fields)
    left = 2 - len(fields)
    assert silent(trial, lambda: wait_until(lambda: trial.writer.do("HLEN", "h") == left, "it is gone")) == set()


def test_eviction_is_told(trial: Trial) -> None:
    used = int(trial.server.client().info("memory")["used_memory"])
    trial.writer.do("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    trial.writer.do("CONFIG", "SET", "maxmemory", used + 3000000)
    try:
        trial.feed.told()
        for number in range(100):
            trial.writer.do("SET", f"key:{number}", "x" * 100000)
        told = trial.feed.told()
        gone = {b"key:%d" % number for number in range(100)} - set(trial.writer.do("KEYS", "*"))
        assert gone and gone <= told
    finally:
        trial.writer.do("CONFIG", "SET", "maxmemory", 0)


def test_other_databases_are_told_without_saying_which(trial: Trial) -> None:
    trial.writer.do("SET", "k", 1)
    trial.feed.told()
    for command in (("SELECT", 3), ("SET", "k", 2), ("SELECT", 0)):
        trial.writer.do(*command)
    assert trial.feed.told() == {b"k"}


def test_emptying_one_database_is_told_as_everything(trial: Trial) -> None:
    for command in (("SELECT", 3), ("SET", "k", 2), ("FLUSHDB",), ("SELECT", 0)):
        trial.writer.do(*command)
    assert Feed.EVERYTHING in trial.feed.told()


def test_keys_that_a_script_does_not_declare_are_told(trial: Trial) -> None:
    script = "redis.call('SET', 'undeclared', 1) redis.call('SELECT', 2) return redis.call('SET', 'there', 1)"
    assert silent(trial, ("EVAL", script, 0)) == set()


def test_keys_that_a_function_does_not_declare_are_told(trial: Trial) -> None:
    if not has(trial, "FCALL"):
        pytest.skip("this server has no functions")
    library = "#!lua name=writing\nredis.register_function('w', function() return redis.call('SET', 'it', 1) end)"
    trial.writer.do("FUNCTION", "LOAD", "REPLACE", library)
    assert silent(trial, ("FCALL", "w", 0)) == set()


def test_a_transaction_is_told_but_for_what_is_silent(trial: Trial) -> None:
    _pending(trial)
    commands: list[tuple[Any, ...]] = [("MULTI",), ("SET", "k", 1), ("XACK", "s", "g", "1-1"), ("EXEC",)]
    assert silent(trial, *commands) == {(0, b"s")}


def test_a_script_that_calls_what_is_silent_is_silent(trial: Trial) -> None:
    _pending(trial)
    assert silent(trial, ("EVAL", "return redis.call('XACK', KEYS[1], 'g', '1-1')", 1, "s")) == {(0, b"s")}


def _pending(trial: Trial) -> None:
    trial.writer.do("XADD", "s", "1-1", "f", "v")
    trial.writer.do("XGROUP", "CREATE", "s", "g", 0)
    trial.writer.do("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")


@pytest.mark.parametrize(
    ("waiting", "served"),
    [
        (("BLPOP", "l", 0), ("RPUSH", "l", "a", "b")),
        (("BLMOVE", "l", "m", "LEFT", "RIGHT", 0), ("RPUSH", "l", "a")),
        (("BRPOPLPUSH", "l", "m", 0), ("RPUSH", "l", "a")),
        (("BZPOPMIN", "z", 0), ("ZADD", "z", 1, "a", 2, "b")),
        (("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">"), ("XADD", "s", "5-1", "f", "v")),
    ],
    ids=lambda words: words[0],
)
def test_what_a_blocked_client_gets_later_is_told(
    trial: Trial, waiting: tuple[Any, ...], served: tuple[Any, ...]
) -> None:
    _pending(trial)
    blocked = Connection(trial.server)
    blocked.send(*waiting)
    wait_until(lambda: trial.server.client().info("clients")["blocked_clients"] == 1, "it is blocked")
    assert silent(trial, served, lambda: blocked.reply() and None) == set()
    blocked.close()


def test_a_server_that_becomes_a_replica_tells_that_everything_changes(trial: Trial) -> None:
    trial.writer.do("SET", "k", 1)
    before = trial.state()
    trial.feed.told()
    trial.writer.do("REPLICAOF", "127.0.0.1", trial.other.port)
    try:
        wait_until(lambda: trial.server.client().info("replication")["master_link_status"] == "up", "it has synced")
        assert Feed.EVERYTHING in trial.feed.told() and changes(before, trial.state())
    finally:
        trial.writer.do("REPLICAOF", "NO", "ONE")
