"""How the answers of operations over a whole fleet are told."""

from __future__ import annotations

from typing import Any


def peers_lines(answer: dict[str, Any]) -> list[str]:
    """A line for each peer's part in an operation of the fleet."""
    return [_line(peer) for peer in answer.get("peers", [])]


def _line(peer: dict[str, Any]) -> str:
    if why := peer.get("lost") or peer.get("error"):
        return f"peer {peer['peer']}: {why}"
    parts = []
    if "pause_ms" in peer:
        closed = sum(peer["clients_closed"].values())
        parts.append(f"clients were held for {peer['pause_ms']:.1f} ms; {peer['held']} waited, {closed} closed")
    elif "state" in peer:
        parts.append(f"{peer['state']}, {peer['in_flight']} in flight")
    return f"peer {peer['peer']}: {', '.join(parts) or 'took part'}"
