"""Against head-of-line blocking: nobody waits long behind another client's command on a shared connection.

Ten times a second it looks how long what was sent has waited. Where that is long, a new connection shows whether the
server answers others; then it takes the place of the old one, where what was sent is still answered.
"""

from __future__ import annotations

from collections.abc import Callable

from redisproxy.forwarding.interfaces import Key
from redisproxy.uplink.busy_probe import BusyProbe
from redisproxy.uplink.registry import ConnectionRegistry
from redisproxy.uplink.shared_connections import LAG_S, SharedConnections, lag_of

AGAIN_S = 1.0
"""A shared connection is replaced no more often than this."""


class HeadOfLineWatch:
    """Looks after the connections of one set.

    @param replace: opens another shared connection beside the one for a key; see L{SharedConnections.add}.
    """

    def __init__(
        self,
        registry: ConnectionRegistry,
        shared: SharedConnections,
        replace: Callable[[Key], None],
        busy_probe: BusyProbe,
    ) -> None:
        self._registry = registry
        self._shared = shared
        self._replace = replace
        self._busy_probe = busy_probe
        self._replaced_at: dict[Key, float] = {}

    def check(self, now: float, dedicate: Callable[[object], None]) -> None:
        """Find what lags.

        @param dedicate: called with each client that holds others up.
        """
        # Thousands may be idle: nobody waits there.
        lagging = [each for each in self._registry if len(each.queue) and lag_of(each, now) >= LAG_S]
        if lagging or self._busy_probe.busy:
            self._busy_probe.probe(now)
        for key, connection in self._shared.items():
            if connection in lagging and now - self._replaced_at.get(key, -AGAIN_S) >= AGAIN_S:
                self._replaced_at[key] = now
                self._replace(key)
                for client in connection.outstanding.holding_up():
                    dedicate(client)
