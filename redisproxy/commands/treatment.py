"""The ways in which a command can be treated, and the error texts of refused commands. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Rule(Enum):
    """How a command is treated."""

    FORWARD = auto()
    LOCAL = auto()
    """Answered by the proxy, never forwarded."""
    SELECT = auto()
    MULTI = auto()
    EXEC = auto()
    DISCARD = auto()
    WATCH = auto()
    UNWATCH = auto()
    BLOCKING = auto()
    """May wait at the server: runs on a pinned connection, and C{read_time_limit_ms} does not apply."""
    KILL = auto()
    """Ends a script or the server: goes at once, past a closed gate, on a connection made for it."""
    APART = auto()
    """Runs on a pinned connection that is closed afterwards, because its state is unknown then."""
    CLUSTER_STATE = auto()
    """Forwarded for the error of a server without cluster support; refused where it would set a connection's state."""
    MONITOR = auto()
    """Turns the client's connection into a stream of the commands that the server runs."""
    WAIT = auto()
    SCRIPT = auto()
    """Forwarded; the script in it is remembered for the next server."""
    EVAL = auto()
    """Like SCRIPT, and runs it, which may take for ever: its client gets a dedicated connection."""
    SCAN = auto()
    """Forwarded; its cursor is valid only at the server that returned it."""
    PUBLISH = auto()
    """Forwarded after the subscription changes that came before it."""
    PUBSUB = auto()
    """Changes a subscription of the client, where the configuration allows it."""
    REFUSED = auto()
    SECURITY = auto()
    """HTTP sent to the Redis port: the connection is closed, as Redis does."""


@dataclass(frozen=True)
class Treatment:
    """The rule for a command, and its error text, without the leading C{-}, if it can be refused.

    @ivar allowed: the rule for a refused command that C{allow_commands} names; None if it can't be allowed.
    """

    rule: Rule
    error: str = ""
    allowed: Rule | None = None


FORWARD = Treatment(Rule.FORWARD)
BLOCKING = Treatment(Rule.BLOCKING)
SUBSCRIBE = Treatment(Rule.PUBSUB)
PUBLISH = Treatment(Rule.PUBLISH)


def not_permitted(name: str, allowed: Rule = Rule.FORWARD) -> Treatment:
    """The treatment of a command that would act on the server itself: refused, unless it is allowed."""
    error = (
        f"NOPERM redisproxy does not forward '{name}': it would act on the Redis server itself"
        f" (the setting allow_commands lifts this)"
    )
    return Treatment(Rule.REFUSED, error, allowed)


def unsupported(name: str, why: str) -> str:
    """The error text for a command that the proxy does not support."""
    return f"ERR redisproxy does not support '{name}': {why}"


def stateful(name: str, why: str, allowed: Rule | None = None) -> Treatment:
    """The treatment of a command that gives a connection state which the proxy can't keep: refused."""
    return Treatment(Rule.REFUSED, unsupported(name, why), allowed)
