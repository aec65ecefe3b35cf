"""What the admin pages show of the proxy; read only, and without secrets.

The data plane's figures and what the control plane knows become one answer each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

import redisproxy
from redisproxy import config
from redisproxy.control.errors import SHUTTING_DOWN
from redisproxy.control.way_back import file_advice
from redisproxy.figures import prometheus

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.credential_files import CredentialFiles
    from redisproxy.control.planned_failover import PlannedFailover
    from redisproxy.control.results import Results
    from redisproxy.control.shutdown import Shutdown
    from redisproxy.control.switchover import SwitchoverOperation
    from redisproxy.control.upgrade import Upgrade
    from redisproxy.control.uplink_advice import UplinkAdvice
    from redisproxy.dataplane.interface import DataPlane, Figures, WorkerFigures
    from redisproxy.figures.metrics import OperationFigures


class Info:
    """The contents of the pages, as they are at the moment of asking."""

    def __init__(
        self,
        dataplane: DataPlane,
        configuration: Configuration,
        advice: UplinkAdvice,
        results: Results,
        switchover: SwitchoverOperation,
        failover: PlannedFailover,
        upgrade: Upgrade,
        shutdown: Shutdown,
        files: CredentialFiles,
        metrics: OperationFigures,
        clock: IReactorTime,
    ) -> None:
        self._dataplane, self._configuration = dataplane, configuration
        self._advice = advice
        self._results = results
        self._switchover = switchover
        self._failover = failover
        self._upgrade = upgrade
        self._shutdown = shutdown
        self._files = files
        self._metrics = metrics
        self._clock = clock
        self._began = clock.seconds()

    def describe(self) -> Deferred[Answer]:
        """The contents of /info.json."""
        return self._dataplane.figures().addCallback(self._describe)

    def expose(self) -> Deferred[bytes]:
        """The contents of /metrics."""
        return self._dataplane.figures().addCallback(self._expose)

    def ready(self) -> Deferred[tuple[bool, str]]:
        """Whether new clients may be sent here, and why not: they are served, or held until the gate opens."""
        return self._dataplane.figures().addCallback(self._ready)

    def _describe(self, figures: Figures) -> Answer:
        workers = {"workers": [_worker(each) for each in figures.workers]} if figures.workers else {}
        return {**self._description(figures), **workers}

    def _description(self, figures: Figures) -> Answer:
        gate, results = figures.gate, self._results
        return {
            "version": redisproxy.__version__,
            "state": "shutting down" if self._shutdown.begun else gate.state,
            "paused_for": list(gate.reasons),
            "in_flight": gate.in_flight,
            "held": gate.held,
            "aside": figures.blocked_waiting,
            "clients": _clients(figures),
            "raw_connections": figures.raw_connections,
            "shutdown": self._ending(figures),
            "uplink": self._uplink(figures),
            "credential_files": self._files.describe(),
            "native": _native(figures),
            "config": config.public(self._configuration.settings),
            "config_not_default": config.in_force(self._configuration.settings),
            "last_reload": results.reload,
            "switchover": self._moves(),
            "upgrade": {"step": self._upgrade.step, "last": results.upgrades},
            "uptime_s": round(self._clock.seconds() - self._began, 1),
        }

    def _ending(self, figures: Figures) -> Answer | None:
        if not self._shutdown.begun:
            return None
        left = figures.clients_open + figures.raw_connections
        return {"clients_left": left, "waits_for_s": round(self._shutdown.left_s, 1)}

    def _ready(self, figures: Figures) -> tuple[bool, str]:
        return (False, SHUTTING_DOWN) if self._shutdown.begun else _ready(figures)

    def _uplink(self, figures: Figures) -> Answer:
        uplink, settings = figures.uplink, self._configuration.settings.uplink
        return {
            "address": str(settings.address),
            "tls": settings.tls,
            "connected": uplink.connected,
            "connections": uplink.connections,
            "shared": uplink.shared,
            "pinned": uplink.pinned,
            "max_pinned": settings.max_pinned,
            "last_error": uplink.last_error,
            "password_failures": figures.numbers.get("uplink.password_failures_total", 0),
            "advice": figures.gate.busy or self._left() or self._advice.text,
            **self._sentinel(),
            "server": dict(uplink.server),
        }

    def _left(self) -> str:
        configuration = self._configuration
        left = configuration.left
        return file_advice(left, configuration.settings.uplink.address) if left is not None else ""

    def _moves(self) -> Answer:
        switchover, last = self._switchover, self._results.switchovers
        going_back = {"way_back": switchover.way_back.describe(), "watch": switchover.watch.describe()}
        return {"current": switchover.progress or self._failover.progress, "last": last, **going_back}

    def _sentinel(self) -> Answer:
        finder = self._configuration.finder
        if finder is None:
            return {}
        told = {**finder.describe(), "switches": self._metrics.sentinel_switches_total}
        place = str(self._configuration.settings.uplink.found or "")
        return {"sentinel": told} if finder.sentinels else {"name": {**told, "in_use": place}}

    def _expose(self, figures: Figures) -> bytes:
        numbers = dict(figures.numbers) | self._metrics.numbers()
        numbers["clients.auth_failures_total"] += self._metrics.auth_failures_total
        shown = prometheus.Numbers(
            numbers,
            self._gauges(figures),
            figures.clients_closed,
            figures.refused,
            {each.number: {**asdict(each), **each.numbers} for each in figures.workers if _serves(each)},
            self._files.expiries(),
            {"version": redisproxy.__version__, "config": config.fingerprint(self._configuration.settings)},
        )
        return prometheus.render(shown, self._metrics.registry)

    def _gauges(self, figures: Figures) -> Mapping[str, float]:
        gate, uplink, finder = figures.gate, figures.uplink, self._configuration.finder
        sentinels = finder.sentinels if finder is not None else []
        return {
            "paused": 1.0 if gate.reasons else 0.0,
            "in_flight": float(gate.in_flight),
            "held": float(gate.held),
            "raw_connections": float(figures.raw_connections),
            "uplink_connected": 1.0 if uplink.connected else 0.0,
            "uplink_pinned": float(uplink.pinned),
            "uplink_shared": float(uplink.shared),
            "sentinels": float(len(sentinels)),
            "sentinels_subscribed": float(sum(each.subscribed for each in sentinels)),
        }


def _clients(figures: Figures) -> Answer:
    total, closed = figures.numbers["clients.total"], dict(figures.clients_closed)
    return {"open": figures.clients_open, "total": total, "closed": closed}


def _worker(figures: WorkerFigures) -> Answer:
    return {name: value for name, value in asdict(figures).items() if name != "numbers"}


def _serves(worker: WorkerFigures) -> bool:
    return worker.answers and not worker.leaving


def _native(figures: Figures) -> Answer:
    return {"active": figures.native, "reason": figures.native_reason, "transports": figures.transports}


def _ready(figures: Figures) -> tuple[bool, str]:
    gate, uplink = figures.gate, figures.uplink
    if not figures.listening:
        return False, "clients are not accepted yet"
    if gate.reasons:
        # To be held is to be served: taken out of a service, new clients would be refused instead.
        return True, f"clients are held ({', '.join(gate.reasons)})"
    if not uplink.connected:
        return False, f"the uplink is not connected: {uplink.last_error or 'connecting'}"
    return True, "ok"
