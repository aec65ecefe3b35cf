"""When clients are evened out between workers."""

from __future__ import annotations

from twisted.internet.task import Clock

from redisproxy import config
from redisproxy.workers.handovers import Handovers
from redisproxy.workers.members import Members

DOCUMENT = {"uplink": {"addr": "10.0.0.1:6379"}, "listen": {"addr": "127.0.0.1:7000"}, "workers": 2}


def test_nobody_is_evened_out_any_more_once_the_process_ends() -> None:
    clock = Clock()
    handovers = Handovers(Members(config.Settings.model_validate(DOCUMENT), clock), clock)
    handovers.soon()
    handovers.close()
    handovers.soon()  # workers that end change how many there are
    assert not clock.getDelayedCalls()
