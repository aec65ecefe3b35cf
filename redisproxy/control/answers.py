"""What operations answer, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import GateStatus

Answer = dict[str, Any]


def gate_answer(status: GateStatus) -> Answer:
    """The part of most answers that tells of the gate, and of what to do about a script that keeps it from draining."""
    advice = {"advice": f"the uplink: {status.busy}"} if status.busy else {}
    return {"state": status.state, "in_flight": status.in_flight, **advice}
