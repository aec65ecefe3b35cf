"""How long a data plane that is to end waits for its clients, whatever becomes of its control process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from redisproxy import config
from redisproxy.dataplane.interface import NotSupported
from redisproxy.workers.lingering import Lingering
from redisproxy.workers.members import Members

LINGER_S = 60.0


class Staying:
    """A worker whose one client can't go to others, retired some time ago by a control process that is gone."""

    label, last = "worker 3", None

    def __init__(self, retired_s: float) -> None:
        self.serving, self.number, self.ended, self.closed = True, 3, False, False
        self.retired_for_s = lambda: retired_s
        gate = SimpleNamespace(hold=lambda reason: succeed(None), drained=lambda: succeed(None))
        clients = SimpleNamespace(close_all=self._close, give_notice=lambda *seconds: succeed(None))
        figures = SimpleNamespace(clients_open=1, raw_connections=0)
        self.plane = SimpleNamespace(gate=gate, clients=clients, figures=lambda: succeed(figures))

    def _close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)

    async def shared(self) -> bytes:
        raise NotSupported("its scripts are of no interest here")

    async def stop(self) -> None:
        self.ended = True


class Nobody:
    """Nobody can be given to others."""

    async def empty(self, worker: Any) -> Any:
        return SimpleNamespace(taken=0)


@pytest.mark.parametrize("retired_s", [0.0, 45.0, 100.0])
def test_the_time_counts_from_the_first_retirement(retired_s: float) -> None:
    document = {"uplink": {"addr": "127.0.0.1:1"}, "listen": {"addr": "127.0.0.1:2"}, "upgrade": {"linger_ms": 60000}}
    clock, settings = Clock(), config.Settings.model_validate(document)
    members: Any = Members(settings, clock)
    worker: Any = Staying(retired_s)
    members._in_use.append(worker)
    handovers: Any = Nobody()
    lingering = Lingering(members, handovers, lambda: settings, clock)
    lingering.begin(worker)
    rest_s = max(0.0, LINGER_S - retired_s)
    clock.pump([0.5] * int(2 * rest_s - 2))
    assert worker.closed is (rest_s == 0)
    clock.pump([0.5] * 8)
    assert worker.closed and worker.ended
