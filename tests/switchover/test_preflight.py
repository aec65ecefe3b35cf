"""May a switchover begin? What two servers say of themselves is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from redisproxy.config import TcpAddress, UnixAddress, UplinkSettings
from redisproxy.servers.fence import FENCE
from redisproxy.servers.state import ServerState, parse_info
from redisproxy.switchover.preflight import Needed, Source, faults, follows, is_predecessor, source_of, warnings
from tests.servers.states import OTHER_ID, old_server, replica, server

SOURCE = Source("10.0.0.1", 6379)


def told(new: ServerState, old: ServerState | None = None, dbs: int = 0) -> str:
    return "\n".join(faults(old or old_server(), new, SOURCE, Needed(dbs)))


def test_an_empty_server_and_a_replica_of_the_old_one_may_take_over() -> None:
    assert not told(server()) and not told(replica(db0="keys=5,expires=0"))
    assert not told(replica(master_host="another-name")), "the history is the same, whatever the name"
    assert not told(replica(master_link_status="down", master_replid=OTHER_ID)), "it is on its way there"


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        (server(db0="keys=5,expires=0", db3="keys=2"), "holds 7 keys"),
        (replica(master_host="elsewhere", master_replid=OTHER_ID), "replica of another one, elsewhere:6379"),
        (server(run_id="old"), "the same one"),
        (server(redis_version="6.2.14"), "can't be sure to read the data"),
        (server(redis_version="5.0.0"), "the oldest that is supported"),
        (server(databases=4), "has 4 databases, and database 7"),
        (server(maxmemory=999), "may use 999 bytes"),
        (server(cluster_enabled=1), "cluster mode"),
        (server(min_replicas=2), "wants 2 replicas"),
        (ServerState({"role": "master"}, can_config=False), "does not allow CONFIG"),
    ],
)
def test_what_stands_in_the_way_is_told(new: ServerState, fault: str) -> None:
    assert fault in told(new, dbs=7)


def test_a_replica_can_not_be_moved_from() -> None:
    assert "replica itself: 10.0.0.9:6379" in told(
        server(), old_server(role="slave", master_host="10.0.0.9", master_port=6379)
    )


def test_newer_patch_versions_and_products_that_read_each_other() -> None:
    assert not told(server(redis_version="7.0.1")), "a patch level changes no format"
    valkey8: dict[str, Any] = {"redis_version": "7.2.4", "valkey_version": "8.0.1"}
    assert not told(server(**valkey8)) and not told(server(redis_version="8.2.0"), old_server(**valkey8))
    assert "can't be sure" in told(server(**valkey8), old_server(redis_version="7.4.0"))
    valkey9: dict[str, Any] = {"redis_version": "7.2.4", "valkey_version": "9.0.0"}
    assert "can't be sure" in told(server(redis_version="8.2.0"), old_server(**valkey9))
    assert not told(server(**valkey9), old_server(**valkey8))
    assert "can't be sure" in told(server(**valkey8), old_server(**valkey9))


def test_valkey_and_redis_read_each_others_data_only_from_before_they_parted() -> None:
    redis8: dict[str, Any] = parse_info(
        "# Server\r\nredis_version:8.2.3\r\nredis_git_dirty:0\r\nredis_mode:standalone\r\n"
    )
    valkey9: dict[str, Any] = parse_info("redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n")
    assert server(**redis8).product == "Redis 8.2.3" and server(**valkey9).product == "Valkey 9.1.2"
    for version in ("6.2.14", "7.0.15", "7.2.9"):
        older = old_server(redis_version=version)
        assert not told(server(**valkey9), older) and not told(server(**redis8), older)
        assert version.startswith("7.2") or "newer versions only" in told(
            server(redis_version=version), old_server(redis_version="7.2.4", valkey_version="8.1.0")
        )
    assert "Valkey reads the data of Redis 7.2 and older only" in told(server(**valkey9), old_server(**redis8))
    assert "Redis reads the data of Valkey 8 and older only" in told(server(**redis8), old_server(**valkey9))
    assert "newer versions only" in told(server(redis_version="8.0.5"), old_server(**redis8))
    assert not told(server(redis_version="8.2.1"), old_server(**redis8))


def test_the_fenced_predecessor_may_take_over_again_although_it_holds_data() -> None:
    fenced = server(min_replicas=FENCE, db0="keys=5", master_replid=OTHER_ID)
    old = old_server(master_replid2=OTHER_ID)
    assert is_predecessor(fenced, old) and not told(fenced, old)
    assert not is_predecessor(fenced, old_server(master_replid2="0" * 40))
    assert "holds 5 keys" in told(server(db0="keys=5", master_replid=OTHER_ID), old), "without the fence it may differ"


REMOTE, LOCAL, UNIX = TcpAddress("10.0.0.1", 1), TcpAddress("127.0.0.1", 2), UnixAddress("/r.sock")


def uplink(addr: str, **more: Any) -> UplinkSettings:
    return UplinkSettings(addr=addr, network="unix" if addr.startswith("/") else "tcp", skipverify=True, **more)


def test_where_the_new_server_reaches_the_old_one() -> None:
    state = old_server(tcp_port=6379)
    assert source_of(state, uplink("10.0.0.1:1"), LOCAL, None) == Source("10.0.0.1", 1)
    assert source_of(state, uplink("127.0.0.1:2"), LOCAL, None) == Source("127.0.0.1", 2)
    assert source_of(state, uplink("/r.sock"), UNIX, None) == Source("127.0.0.1", 6379)
    assert source_of(state, uplink("127.0.0.1:2"), REMOTE, TcpAddress("h", 3)) == Source("h", 3)
    with pytest.raises(ValueError, match="replicate_from"):
        source_of(state, uplink("127.0.0.1:2"), REMOTE, None)
    with pytest.raises(ValueError, match="no TCP port"):
        source_of(old_server(tcp_port=0), uplink("/r.sock"), UNIX, None)


def test_whether_replication_is_over_tls() -> None:
    both, only_tls = server(tcp_port=6379, tls_port=6380), server(tcp_port=6380, tls_port=6380)
    assert source_of(both, uplink("10.0.0.1:1", tls=True), LOCAL, None).tls
    assert not source_of(both, uplink("10.0.0.1:1", tls=True), LOCAL, None, over_tls=False).tls
    assert not source_of(both, uplink("/r.sock"), LOCAL, None).tls
    assert source_of(both, uplink("/r.sock"), LOCAL, TcpAddress("127.0.0.1", 6380)).tls
    assert source_of(only_tls, uplink("/r.sock"), LOCAL, None) == Source("127.0.0.1", 6380, tls=True)


def test_warnings_name_what_stays_behind() -> None:
    text = "\n".join(warnings(old_server(connected_slaves=3), replica()))
    assert "2 other replicas" in text and "scripts" not in text
    assert "scripts of clients that bypass" in "\n".join(warnings(old_server(redis_version="6.2.14"), replica()))


def test_a_replica_that_does_not_say_whom_it_follows_does_not_follow() -> None:
    assert not follows(ServerState({"role": "slave", "slave_repl_offset": "17"}), old_server(), SOURCE)


def test_valkey_9_may_read_a_newer_redis_where_it_is_told_to_try() -> None:
    redis8: dict[str, Any] = {"redis_version": "8.2.3"}
    valkey9: dict[str, Any] = {"redis_version": "7.2.4", "valkey_version": "9.1.2"}
    relaxed = replace(server(**valkey9), reads_newer=True)
    assert "rdb-version-check relaxed" in told(server(**valkey9), old_server(**redis8))
    assert not told(relaxed, old_server(**redis8))
    assert "as far as both know it" in "\n".join(warnings(old_server(**redis8), relaxed))
    assert not list(warnings(old_server(), relaxed)), "what Redis 7.0 writes, it knows"


def test_a_replica_that_answered_its_primary_with_errors_may_lack_something() -> None:
    assert "3 commands of its primary with errors" in told(replica(unexpected_error_replies=3))
    assert not told(server(unexpected_error_replies=3)), "it is synchronised anew"
