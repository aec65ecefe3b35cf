"""What both servers say of an interrupted switchover, and where clients belong then."""

from __future__ import annotations

import pytest

from redisproxy.remote.interrupted import Verdict, verdict
from redisproxy.servers.fence import FENCE
from redisproxy.servers.state import ServerState

BEFORE, AFTER, OTHER = "a" * 40, "b" * 40, "c" * 40
OLD = {"role": "master", "master_replid": BEFORE}
REPLICA = ServerState({"role": "slave", "master_replid": BEFORE})
PROMOTED = ServerState({"role": "master", "master_replid": AFTER, "master_replid2": BEFORE})
STRANGER = ServerState({"role": "master", "master_replid": AFTER, "master_replid2": OTHER})
EMPTY = ServerState({"role": "master", "master_replid": AFTER, "master_replid2": "0" * 40})
FENCED, OPEN = ServerState(OLD, min_replicas=FENCE), ServerState(OLD)
SILENT_ON_CONFIG = ServerState(OLD, can_config=False)
DEMOTED = ServerState({"role": "slave", "master_replid": AFTER})
WAY_BACK = ServerState({"role": "slave", "master_replid": AFTER}, min_replicas=FENCE)
ELSEWHERE = ServerState({"role": "slave", "master_replid": OTHER}, min_replicas=FENCE)


@pytest.mark.parametrize(
    ("old", "new", "writable", "where"),
    [
        (FENCED, PROMOTED, True, Verdict.GO),
        (FENCED, PROMOTED, False, Verdict.UNCLEAR),
        (FENCED, REPLICA, False, Verdict.UNDECIDED),
        (FENCED, None, False, Verdict.UNCLEAR),
        (FENCED, STRANGER, True, Verdict.UNCLEAR),
        (FENCED, EMPTY, True, Verdict.UNCLEAR),
        (OPEN, REPLICA, False, Verdict.STAY),
        (OPEN, None, False, Verdict.STAY),
        (OPEN, PROMOTED, True, Verdict.STAY),
        (None, PROMOTED, True, Verdict.UNCLEAR),
        (None, None, False, Verdict.UNCLEAR),
        (SILENT_ON_CONFIG, PROMOTED, True, Verdict.UNCLEAR),
        (DEMOTED, PROMOTED, True, Verdict.UNCLEAR),
        (WAY_BACK, PROMOTED, True, Verdict.GO),
        (ELSEWHERE, PROMOTED, True, Verdict.UNCLEAR),
    ],
)
def test_the_servers_say_where_clients_belong(
    old: ServerState | None, new: ServerState | None, writable: bool, where: Verdict
) -> None:
    assert verdict(old, new, writable) is where
