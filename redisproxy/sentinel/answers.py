"""What sentinels say, read with suspicion, and what follows when they do not all say the same. Pure.

A sentinel counts the changes of a primary (its configuration epoch): who knows of the latest is right, and the others
hear of it within seconds (https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from redisproxy.config import Address, TcpAddress, parse_address
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.fence import is_fence

MAX_HOST = 255
MAX_EPOCH = (1 << 64) - 1
SWITCHED = "+switch-master"
PROMOTED = "+promoted-slave"
"""Published as soon as a replica has been promoted, which may be seconds before C{+switch-master}."""
BEGINS = "+failover-state-select-slave"
"""Published a moment before a replica is promoted; what the old primary takes after that is lost."""
ABORTED = ("-failover-abort-no-good-slave", "-failover-abort-slave-timeout")
EVENTS = (SWITCHED, PROMOTED, BEGINS, *ABORTED)


class OddAnswer(UplinkUnavailable):
    """A sentinel answered what makes no sense."""


class Outdated(UplinkUnavailable):
    """The sentinels that answer know less than others did before."""


@dataclass(frozen=True)
class Said:
    """One sentinel's word: where the primary is, since how many changes."""

    primary: TcpAddress
    epoch: int = 0


class UnknownName(UplinkUnavailable):
    """A sentinel watches no primary of this name."""


def primary_of(reply: object, name: str) -> TcpAddress:
    """Read the answer to C{SENTINEL GET-MASTER-ADDR-BY-NAME}.

    @raise UnknownName: the sentinel does not know `name`.
    @raise OddAnswer: it is no address.
    """
    if reply is None:
        raise UnknownName(f"it knows no primary called {name}")
    if not isinstance(reply, list) or len(reply) != 2 or not all(isinstance(each, bytes) for each in reply):
        raise OddAnswer("its answer is no host and port")
    host, port = (each.decode("ascii", "replace") for each in reply)
    try:
        address = parse_address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "tcp")
    except ValueError as error:
        raise OddAnswer(f"its answer is no host and port: {error}") from None
    if not isinstance(address, TcpAddress) or not 0 < len(host) <= MAX_HOST or not host.isascii():
        raise OddAnswer("its answer is no host and port: this is no host name")
    return address


def epoch_of(reply: object) -> int:
    """Read the configuration epoch from the answer to C{SENTINEL MASTER}; 0 when it does not tell."""
    if not isinstance(reply, list):
        return 0
    for field, value in zip(reply[::2], reply[1::2], strict=False):
        if field == b"config-epoch" and isinstance(value, bytes) and value.isdigit() and len(value) <= 20:
            return min(int(value), MAX_EPOCH)
    return 0


def is_primary(role: object, info: object) -> bool | None:
    """Whether a server says that it is a primary, in its answer to C{ROLE} or, where that is not allowed, in C{INFO}.

    None when it tells neither.
    """
    if isinstance(role, list) and role and isinstance(role[0], bytes):
        return role[0] == b"master"
    if isinstance(info, bytes) and b"\nrole:" in info:
        return b"\nrole:master" in info
    return None


def is_fenced(config: object) -> bool:
    """Whether a server bears a fence, in its answer to C{CONFIG GET min-replicas-to-write}."""
    if not isinstance(config, list) or len(config) != 2 or not isinstance(config[1], bytes):
        return False
    return config[1].isdigit() and len(config[1]) <= 10 and is_fence(int(config[1]))


def concerns(message: object, name: str) -> bool:
    """Whether an event of a sentinel is about the primary called `name`."""
    return isinstance(message, bytes) and name.encode() in message.split(b" ")


def settled(said: Sequence[Said], sentinels: int, known: int) -> bool:
    """Whether the sentinels that were asked so far make asking the others needless: most of all say the same.

    @param known: the highest epoch that was ever believed.
    """
    top = max((each.epoch for each in said), default=0)
    votes = Counter(each.primary for each in said if each.epoch == top)
    return top >= known and any(count > sentinels // 2 for count in votes.values())


def candidates(said: Sequence[Said], sentinels: int, known: int, current: Address | None) -> list[TcpAddress]:
    """Where the primary may be, the likeliest first: those with the highest epoch, by votes.

    An epoch below `known` is believed only if every sentinel says the same, as after all of them were set up anew:
    else those that have not heard of a change yet would lead back to the old primary.

    @raise Outdated: nobody who answered knows enough.
    """
    top = max(each.epoch for each in said)
    unanimous = len(said) == sentinels and len({each.primary for each in said}) == 1
    if top < known and not unanimous:
        raise Outdated(f"they know of change {top} only, and there was a change {known}")
    votes = Counter(each.primary for each in said if each.epoch == top)
    return sorted(votes, key=lambda address: (-votes[address], address != current))
