"""What the admin pages show of the proxy; read only, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import redisproxy
from redisproxy import config
from redisproxy.forwarding import twins

if TYPE_CHECKING:
    from redisproxy.control.control import Control
    from redisproxy.control.interfaces import Answer
    from redisproxy.dataplane.proxy import Proxy
    from redisproxy.net.network import Network


def describe(proxy: Proxy, control: Control, network: Network, uptime_s: float) -> Answer:
    """The contents of /info.json."""
    gate, metrics = proxy.gate, proxy.metrics
    return {
        "version": redisproxy.__version__,
        "state": gate.state.value,
        "paused_for": sorted(gate.reasons),
        "in_flight": gate.in_flight,
        "held": gate.held,
        "aside": len(proxy.core.blocked_commands),
        "clients": {
            "open": len(proxy.registry),
            "total": metrics.clients.total,
            "closed": dict(metrics.clients.closed),
        },
        "raw_connections": len(proxy.raw),
        "uplink": _uplink(proxy),
        "native": {"active": twins.NATIVE, "reason": twins.NATIVE_REASON, "transports": network.name},
        "config": config.public(proxy.settings),
        "last_reload": control.last.result,
        "switchover": {
            "current": control.switching.current() if control.switching is not None else None,
            "last": control.reports,
        },
        "uptime_s": round(uptime_s, 1),
    }


def _uplink(proxy: Proxy) -> Answer:
    uplinks, settings = proxy.uplinks, proxy.settings.uplink
    return {
        "address": str(settings.address),
        "tls": settings.tls,
        "connected": uplinks.registry.connected,
        "connections": len(uplinks.registry),
        "shared": len(uplinks.shared_connections),
        "pinned": len(uplinks.pinned_connections),
        "max_pinned": settings.max_pinned,
        "last_error": uplinks.last_error,
        "advice": proxy.busy or proxy.advice,
        **_sentinel(proxy),
        "server": {_text(key): _text(value) for key, value in uplinks.server.items() if not isinstance(value, list)},
    }


def _sentinel(proxy: Proxy) -> Answer:
    if proxy.finder is None:
        return {}
    return {"sentinel": {**proxy.finder.describe(), "switches": proxy.metrics.operations.sentinel_switches_total}}


def _text(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def gauges(proxy: Proxy) -> Mapping[str, float]:
    """Values of this moment for the metrics page."""
    gate = proxy.gate
    sentinels = proxy.finder.sentinels if proxy.finder is not None else []
    return {
        "paused": 0.0 if gate.open else 1.0,
        "in_flight": float(gate.in_flight),
        "held": float(gate.held),
        "raw_connections": float(len(proxy.raw)),
        "uplink_connected": 1.0 if proxy.uplinks.registry.connected else 0.0,
        "uplink_pinned": float(len(proxy.uplinks.pinned_connections)),
        "uplink_shared": float(len(proxy.uplinks.shared_connections)),
        "sentinels": float(len(sentinels)),
        "sentinels_subscribed": float(sum(each.subscribed for each in sentinels)),
    }


def ready(proxy: Proxy) -> tuple[bool, str]:
    """Whether commands get through right now, and why not."""
    if not proxy.gate.open:
        return False, f"{proxy.gate.state.value} ({', '.join(sorted(proxy.gate.reasons))})"
    if not proxy.uplinks.registry.connected:
        return False, f"the uplink is not connected: {proxy.uplinks.last_error or 'connecting'}"
    return True, "ok"
