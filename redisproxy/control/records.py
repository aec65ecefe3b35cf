"""What has passed, as the admin pages show it: the samples of the last minutes, slow commands, hot keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.figures.latency import percentile_ms

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.dataplane.interface import DataPlane, Figures
    from redisproxy.figures.hot_keys import Hot
    from redisproxy.figures.seconds import Second
    from redisproxy.figures.slow_log import SlowCommand

NOTHING: Answer = dict.fromkeys(
    (
        *("time", "commands_per_s", "errors_per_s", "bytes_in_per_s", "bytes_out_per_s", "clients", "held"),
        *("in_flight", "client_p50_ms", "client_p99_ms", "uplink_p50_ms", "uplink_p99_ms"),
    )
)


class Records:
    """The contents of the pages about what has passed."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def figures(self, after: int) -> Deferred[Answer]:
        """The contents of /figures.json.

        @param after: only the seconds that have ended later, since 1970.
        @raise DataPlaneLost: there is no data plane.
        """
        return ensureDeferred(self._figures(after))

    async def _figures(self, after: int) -> Answer:
        samples = [sample(second) for second in await self._dataplane.records.seconds(after)]
        return {"now": _now(samples, await self._dataplane.figures()), "samples": samples}

    def slow_commands(self) -> Deferred[Answer]:
        """The contents of /slowlog.json.

        @raise DataPlaneLost: there is no data plane.
        """
        return self._dataplane.records.slow_commands().addCallback(
            lambda commands: {"entries": [_slow(command) for command in commands]}
        )

    def hot_keys(self) -> Deferred[Answer]:
        """The contents of /hot_keys.json.

        @raise DataPlaneLost: there is no data plane.
        """
        return self._dataplane.records.hot_keys().addCallback(_hot)


def _hot(hot: Hot) -> Answer:
    answer = asdict(hot)
    for key in answer["keys"]:
        key["share"] = round(key["commands_per_s"] / hot.commands_per_s, 4) if hot.commands_per_s else 0.0
    return answer


def _slow(command: SlowCommand) -> Answer:
    return {**asdict(command), "total_ms": round(command.proxy_ms + command.redis_ms, 3)}


def _now(samples: list[Answer], figures: Figures) -> Answer:
    """The rates of the last second, with how many clients and commands there are at this moment."""
    last, gate = samples[-1] if samples else NOTHING, figures.gate
    return {**last, "clients": figures.clients_open, "held": gate.held, "in_flight": gate.in_flight}


def sample(second: Second) -> Answer:
    """A second, with times in milliseconds; null where nothing was measured in it."""
    client, uplink = second.client_latency, second.uplink_latency
    return {
        "time": second.time,
        "commands_per_s": round(second.commands, 1),
        "errors_per_s": round(second.errors, 1),
        "bytes_in_per_s": round(second.bytes_in, 1),
        "bytes_out_per_s": round(second.bytes_out, 1),
        "clients": second.clients,
        "held": second.held,
        "in_flight": second.in_flight,
        "client_p50_ms": percentile_ms(client, 0.5),
        "client_p99_ms": percentile_ms(client, 0.99),
        "uplink_p50_ms": percentile_ms(uplink, 0.5),
        "uplink_p99_ms": percentile_ms(uplink, 0.99),
    }
