"""Whether a switchover may begin, decided from what two servers say of themselves."""

from __future__ import annotations

import pytest

from redisproxy.preflight import Source, faults
from redisproxy.replication import FENCE, ServerState

SOURCE = Source("10.0.0.1", 6379)


def primary(replid: str, replid2: str = "0" * 40, *, fenced: bool = False) -> ServerState:
    """A primary with one key and this history."""
    info = {"role": "master", "run_id": replid[::-1], "master_replid": replid, "master_replid2": replid2}
    info |= {"redis_version": "7.0.15", "db0": "keys=1,expires=0,avg_ttl=0"}
    return ServerState(info=info, databases=16, min_replicas=FENCE if fenced else 0)


@pytest.mark.parametrize("former", ["0" + "a" * 39, "a" * 39 + "0", "a" * 40])
def test_the_fenced_predecessor_may_come_back_whatever_zeros_its_id_has(former: str) -> None:
    assert not list(faults(primary("b" * 40, former), primary(former, fenced=True), SOURCE))


def test_a_server_with_data_and_another_history_is_refused() -> None:
    never_promoted, stranger = primary("b" * 40), primary("0" * 40, fenced=True)
    for old in (never_promoted, primary("b" * 40, "a" * 40)):
        assert any("holds 1 keys" in fault for fault in faults(old, stranger, SOURCE))
