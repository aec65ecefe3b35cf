"""How a command can be treated: the rules, and the errors of commands that are refused. Pure data."""

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
    """Runs on a pinned connection that is closed afterwards: nobody knows what it has made of it."""
    CLUSTER_STATE = auto()
    """Forwarded for the error of a server without cluster support; refused where it would set a connection's state."""
    MONITOR = auto()
    """Makes the client's connection a stream of what the server runs."""
    WAIT = auto()
    SCRIPT = auto()
    """Forwarded; the script in it is remembered for the next server."""
    EVAL = auto()
    """Like SCRIPT, and runs it: that may take for ever, so its client gets a connection of its own."""
    SCAN = auto()
    """Forwarded, with a cursor that is good only at the server it comes from."""
    PUBLISH = auto()
    """Forwarded, behind the changes of subscriptions that came before it."""
    PUBSUB = auto()
    """Makes a subscriber of the client, where the configuration allows that."""
    REFUSED = auto()
    SECURITY = auto()
    """HTTP sent to the Redis port: the connection is closed, as Redis does."""


@dataclass(frozen=True)
class Treatment:
    """A rule, and for a command that may be refused the text of its error (without the leading C{-}).

    @ivar allowed: the rule of a refused command that C{allow_commands} names; None when it stays refused.
    """

    rule: Rule
    error: str = ""
    allowed: Rule | None = None


FORWARD = Treatment(Rule.FORWARD)
BLOCKING = Treatment(Rule.BLOCKING)
SUBSCRIBE = Treatment(Rule.PUBSUB)
PUBLISH = Treatment(Rule.PUBLISH)


def not_permitted(name: str, allowed: Rule = Rule.FORWARD) -> Treatment:
    """Refuse what would act on the server itself."""
    error = (
        f"NOPERM redisproxy does not forward '{name}': it would act on the Redis server itself"
        f" (the setting allow_commands lifts this)"
    )
    return Treatment(Rule.REFUSED, error, allowed)


def unsupported(name: str, why: str) -> str:
    """The text of an error that says why a command is refused."""
    return f"ERR redisproxy does not support '{name}': {why}"


def stateful(name: str, why: str, allowed: Rule | None = None) -> Treatment:
    """Refuse what would make a connection something else."""
    return Treatment(Rule.REFUSED, unsupported(name, why), allowed)
