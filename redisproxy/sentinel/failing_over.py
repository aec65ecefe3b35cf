"""What sentinels are asked and told when the proxy has them fail over: replicas, the order, and taking it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import ensureDeferred

from redisproxy.config import TcpAddress
from redisproxy.net.deferreds import all_settled
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.sentinel.answers import primary_of
from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from redisproxy.sentinel.finder import Finder, Sentinel

DOWN = ("s_down", "o_down", "disconnected")
MAX_REPLICAS = 100


@dataclass(frozen=True)
class Replica:
    """One replica, as a sentinel sees it.

    @ivar priority: the lowest is promoted first; 0 never. @ivar offset: what it had when the sentinel asked it last.
    """

    address: TcpAddress
    priority: int
    offset: int
    run_id: str
    down: bool

    @property
    def may_be_promoted(self) -> bool:
        """Whether the sentinel would choose it, if there were no better one."""
        return self.priority > 0 and not self.down


@dataclass(frozen=True)
class Watched:
    """What one sentinel says of the primary and its replicas, those first that it would promote first."""

    sentinel: Sentinel
    replicas: tuple[Replica, ...]

    @property
    def candidates(self) -> tuple[Replica, ...]:
        """Those that may be promoted."""
        return tuple(replica for replica in self.replicas if replica.may_be_promoted)


def fields_of(reply: object) -> dict[str, str]:
    """One flat answer with names and values, as SENTINEL MASTER gives it; what is none is empty."""
    if not isinstance(reply, list):
        return {}
    texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else "" for each in reply]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def replicas_of(reply: object) -> tuple[Replica, ...]:
    """Read the answer to C{SENTINEL REPLICAS}, sorted as a sentinel chooses: by priority, offset, run id."""
    found = [_replica(fields_of(each)) for each in reply[:MAX_REPLICAS]] if isinstance(reply, list) else []
    replicas = [each for each in found if each is not None]
    return tuple(sorted(replicas, key=lambda each: (each.priority, -each.offset, each.run_id)))


def _replica(fields: Mapping[str, str]) -> Replica | None:
    try:
        address = primary_of([fields.get("ip", "").encode(), fields.get("port", "").encode()], "")
    except UplinkUnavailable:
        return None
    flags = fields.get("flags", "").split(",")
    return Replica(
        address,
        _number(fields, "slave-priority"),
        _number(fields, "slave-repl-offset"),
        fields.get("runid", ""),
        any(flag in flags for flag in DOWN),
    )


def _number(fields: Mapping[str, str], name: str) -> int:
    text = fields.get(name, "")
    return int(text) if text.isdigit() and len(text) <= 20 else 0


@dataclass
class Inspected:
    """What the sentinels say of a failover.

    @ivar watched: of each that answers. @ivar faults: why there may be none now. @ivar silent: who does not answer.
    """

    watched: list[Watched] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


async def inspect(finder: Finder, primary: TcpAddress) -> Inspected:
    """Ask the sentinels. All that answer have to agree: one that does not may be about to fail over by itself.

    @param primary: the server in use.
    """
    found = Inspected()
    for sentinel in finder.sentinels:
        try:
            about, listed, quorum = await sentinel.line.ask(
                ("SENTINEL", "MASTER", finder.name),
                ("SENTINEL", "REPLICAS", finder.name),
                ("SENTINEL", "CKQUORUM", finder.name),
            )
        except UplinkError as error:
            found.silent.append(str(error))
            continue
        watched = Watched(sentinel, replicas_of(listed))
        found.watched.append(watched)
        found.faults += [f"{sentinel.line.name}: {fault}" for fault in _faults(about, quorum, watched, primary)]
    return found


def _faults(about: object, quorum: object, watched: Watched, primary: TcpAddress) -> Iterator[str]:
    if isinstance(about, ServerSaidNo):
        yield str(about)
        return
    fields = fields_of(about)
    flags = fields.get("flags", "").split(",")
    place = f"{fields.get('ip', '')}:{fields.get('port', '')}"
    if (fields.get("ip"), fields.get("port")) != (primary.host, str(primary.port)):
        yield f"it takes {place} for the primary, and {primary} is in use"
    if any(flag in flags for flag in DOWN):
        yield f"it takes the primary {place} for down, and fails over by itself"
    if "failover_in_progress" in flags:
        yield "a failover is under way already"
    if isinstance(quorum, ServerSaidNo):
        yield f"the sentinels could not agree on a failover: {quorum}"
    if not watched.candidates:
        yield "it knows no replica that could be promoted"


async def promotes_nobody(finder: Finder, primary: TcpAddress) -> bool:
    """Whether sentinels answer, and all that do take this server for the primary, with no failover under way."""
    question = ("SENTINEL", "MASTER", finder.name)
    asked = await all_settled([ensureDeferred(sentinel.line.ask(question)) for sentinel in finder.sentinels])
    told = [fields_of(answers[0]) for good, answers in asked if good]
    return bool(told) and all(_stays(fields, primary) for fields in told)


def _stays(fields: Mapping[str, str], primary: TcpAddress) -> bool:
    at = fields.get("ip"), fields.get("port")
    return at == (primary.host, str(primary.port)) and "failover_in_progress" not in fields.get("flags", "").split(",")


async def order(watched: Watched, name: str) -> None:
    """Have this sentinel promote a replica.

    @raise ServerSaidNo: it refuses, and does nothing. @raise UplinkError: whether it does is not known.
    """
    (reply,) = await watched.sentinel.line.ask(("SENTINEL", "FAILOVER", name))
    if isinstance(reply, ServerSaidNo):
        raise reply


async def take_back(watched: Watched, name: str) -> None:
    """Have this sentinel forget a failover that it has begun, and all that it has found out of this primary.

    @raise UplinkError: whether it has is not known.
    """
    (reply,) = await watched.sentinel.line.ask(("SENTINEL", "RESET", name))
    if isinstance(reply, ServerSaidNo):
        raise reply
