"""What a server says of itself, read as it comes."""

from __future__ import annotations

from redisproxy.servers.state import ServerState, parse_info
from redisproxy.servers.version import version_of
from tests.servers.states import replica


def test_info_and_versions_are_read_as_they_come() -> None:
    fields = parse_info("# Replication\r\nrole:slave\r\nslave_repl_offset:17\r\n\r\nodd line\r\nmaster_host:::1\r\n")
    assert fields == {"role": "slave", "slave_repl_offset": "17", "master_host": "::1"}
    assert ServerState(fields).offset == 17
    assert version_of("7.0.15") == (7, 0, 15) and version_of("8.0-rc1") == (8, 0) and version_of("") == ()


def test_progress_of_a_synchronisation() -> None:
    syncing = replica(master_sync_in_progress=1, master_sync_left_bytes=500, master_link_status="down")
    assert syncing.bytes_left == 500 and not syncing.link_up
    assert replica(master_sync_in_progress=1, master_sync_left_bytes=-1).bytes_left is None
    assert replica(master_sync_in_progress=0).bytes_left is None
