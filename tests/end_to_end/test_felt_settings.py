"""Every setting of every server of the tests is either compared by the preflight, or listed here as one that clients
do not feel."""

from __future__ import annotations

import pytest

from redisproxy.servers.felt_settings import FELT_SETTINGS
from tests.end_to_end.copying import PROGRAMS
from tests.end_to_end.harness import RedisServer

COMPARED = {name for setting in FELT_SETTINGS for name in setting.names}
GROUPS = {
    "between servers, not to clients": ("cluster-", "repl", "slave", "masteruser", "masterauth", "primary", "min-",
                                        "dual-channel-", "rdma-", "slot-migration-"),
    "of the connections that the proxy makes": ("tls-", "bind", "port", "unixsocket", "protected-mode", "tcp-backlog",
                                                "mptcp", "socket-mark-id", "max-new-"),
    "how files are written and where": ("append", "aof-", "aof_", "auto-aof-", "rdb", "dbfilename", "dir", "sanitize-",
                                        "disk-"),
    "of the process": ("bgsave", "bio", "server-cpulist", "server_cpulist", "aof-rewrite-cpulist", "oom-score-adj",
                       "daemonize", "pidfile", "supervised", "proc-title", "set-proc-title", "disable-thp",
                       "io-threads", "jemalloc-", "shutdown-", "crash-", "watchdog-", "use-exit-on-panic",
                       "prefetch-", "availability-zone", "hz", "dynamic-hz", "activerehashing", "hash-seed",
                       "always-show-logo", "ignore-warnings", "events-per-io-thread"),
    "how log and figures are kept": ("log", "syslog-", "latency-tracking", "commandlog-", "acllog-",
                                     "hide-user-data-from-log"),
    "how hard defragmentation works": ("active-defrag-",),
    "users are compared themselves": ("aclfile", "requirepass"),
    "for debugging": ("enable-", "key-load-delay", "import-mode", "propagation-error-behavior"),
    "ignored": ("gopher-enabled", "lua-replicate-commands"),
    "of one type of the server's own": ("vset-",),
}  # fmt: skip
"""Beginnings of names, by the reason why clients do not feel them."""


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_setting_is_compared_or_not_felt(name: str) -> None:
    unfelt = tuple(beginning for beginnings in GROUPS.values() for beginning in beginnings)
    with RedisServer(program=PROGRAMS[name]()) as server:
        settings = {str(each) for each in server.client().config_get("*")} - COMPARED
    assert sorted(each for each in settings if not each.startswith(unfelt)) == []
