"""The terms of a run, drawn from its seed: how the network is, and how the proxy is configured."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.copying import mode as copy_mode
from tests.simulation.network import Conditions
from tests.simulation.returns import keeps_way_back
from tests.simulation.services import hooks_of

SIGTERMS = 0.08
FEW_PINNED = 0.1
STEPS = ("replicate", "catch up", "copy", "connect", "drain", "fence", "rest", "verify", "promote", "finish")


def conditions(chance: Random) -> Conditions:
    """Draw how the network is."""
    pick = chance.choice
    return Conditions(
        latency=pick((0.0, 0.0002, 0.001)),
        jitter=pick((0.0, 0.0005, 0.003)),
        small_chunks=pick((0.0, 0.2, 0.7)),
        window=pick((500, 5000, 65536)),
        high_water=pick((100, 5000, 65536)),
    )


def settings_of(seed: int, chance: Random, faulty: bool, password: str) -> dict[str, Any]:
    """Draw a configuration, without the uplink's address and password.

    @param faulty: things break, so that limits may be short.
    """
    pick = chance.choice
    listen = {"addr": "10.9.9.9:7000", **({"pass": password} if password else {})}
    uplink: dict[str, Any] = {
        "wait_limit_ms": pick((1000, 10000)),
        "reconnect_min_ms": pick((10, 100)),
        "reconnect_max_ms": pick((200, 2000)),
        "connect_timeout_ms": pick((500, 3000)),
        "multiplex": chance.random() < 0.9,
        "ping_interval_ms": pick((0, 300, 5000)),
        "ping_timeout_ms": 1000,
    }
    if Random(f"{seed} pinned").random() < FEW_PINNED:
        uplink["max_pinned"] = 2
    if not faulty:
        # Where a worker has one connection for single clients, some wait for a BLPOP of 15 s, and another.
        uplink |= {"wait_limit_ms": 60000, "connect_timeout_ms": 5000}
    return {
        "uplink": uplink,
        "listen": listen,
        "read_time_limit_ms": pick((0, 5000)),
        "limits": {"max_held_request_bytes": 32768, "max_in_flight_per_client": pick((3, 10000))},
        "pause": {"drain_deadline_ms": pick((100, 2000)) if faulty else 10000},
        "switchover": {
            "pause_budget_ms": pick((100, 300, 2000)),
            "sync_deadline_ms": 10000,
            "sync_stall_ms": 3000,
            "max_lag_ms": pick((10, 100)),
            "keep_way_back": keeps_way_back(seed),
            **copy_mode(seed),
            **hooks_of(seed),
        },
    }


@dataclass
class Sigterm:
    """When the proxy is stopped: some seconds after the beginning, or after a switchover has reached a step."""

    step: str
    after_s: float

    def is_due(self, now: float, step: str) -> bool:
        """Whether it is time, `now` seconds after the beginning, with a switchover at `step`."""
        if self.step and self.step == step:
            self.step, self.after_s = "", now + self.after_s
        return not self.step and now >= self.after_s


def sigterm_of(seed: int) -> Sigterm | None:
    """Draw whether, and when, the proxy is stopped in the middle of the run."""
    chance = Random(f"{seed} sigterm")
    if chance.random() >= SIGTERMS:
        return None
    if chance.random() < 0.4:
        return Sigterm("", 3 * chance.random())
    return Sigterm(chance.choice(STEPS), chance.choice((0, 0.001, 0.01, 0.1)) * chance.random())
