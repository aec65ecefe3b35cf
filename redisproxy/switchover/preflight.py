"""Decides whether a switchover may begin, by comparing the states of two servers. Pure.

Every fault refuses the switchover before anything has been changed, and says what an operator can do about it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

from redisproxy.config import Address, TcpAddress, UplinkSettings
from redisproxy.servers.state import ServerState

OLDEST = (6, 2)
FENCES_SCRIPTS = (7,)
FIRST_FOREIGN_VALKEY = (9,)
_ONLY_UPWARDS = "replication goes from older to newer versions only"


@dataclass(frozen=True)
class Source:
    """The address that the new server replicates from, and whether over TLS."""

    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def source_of(
    old: ServerState,
    uplink: UplinkSettings,
    new_address: Address,
    given: TcpAddress | None = None,
    over_tls: bool | None = None,
) -> Source:
    """Where the new server can reach the old one: at a TCP port, whatever the proxy itself uses.

    @param uplink: how the proxy reaches the old one.
    @param given, over_tls: the settings C{replicate_from} and C{replicate_over_tls}.
    @raise ValueError: the settings have to say it; the text says why.
    """
    host, port = _place_of(old, uplink.address, new_address, given)
    if over_tls is None:
        over_tls = uplink.tls if isinstance(uplink.address, TcpAddress) else port == old.tls_port
    return Source(host, port, over_tls)


def _place_of(
    old: ServerState, old_address: Address, new_address: Address, given: TcpAddress | None
) -> tuple[str, int]:
    if given is not None:
        return given.host, given.port
    if isinstance(old_address, TcpAddress) and not _is_local(old_address):
        return old_address.host, old_address.port
    if not _is_local(new_address):
        raise ValueError(
            f"the new server can't reach the old one at {old_address}, an address of this machine only:"
            " set switchover.replicate_from to one that it can reach"
        )
    if isinstance(old_address, TcpAddress):
        return old_address.host, old_address.port
    port = old.number("tcp_port")  # the TLS port when there is no other
    if not port:
        raise ValueError(
            "the old server listens on no TCP port, and replication needs one, because it can't use a unix socket:"
            " give it one (CONFIG SET port does that without a restart from Redis 7 on), or set"
            " switchover.replicate_from to where it can be reached"
        )
    return "127.0.0.1", port


def _is_local(address: Address) -> bool:
    if not isinstance(address, TcpAddress) or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        return False


def follows(new: ServerState, old: ServerState, source: Source) -> bool:
    """Whether `new` is a replica of `old`, synchronised or about to be."""
    if new.role != "slave":
        return False
    same_history = bool(new.replication_id) and new.replication_id == old.replication_id
    return (new.link_up and same_history) or new.primary == (source.host, source.port)


def is_predecessor(new: ServerState, old: ServerState) -> bool:
    """Whether `new` is the fenced server that `old` took over from, so that `old` has all its data."""
    return new.fenced and bool(old.former_id) and new.replication_id == old.former_id


@dataclass(frozen=True)
class Needed:
    """What a switchover needs besides both servers.

    @ivar dbs: the highest database that a client has selected. @ivar replace: the setting C{replace_data}.
    @ivar config_of_new: the new server has to let the proxy change its settings, because no hook has it replicate.
    """

    dbs: int = 0
    replace: bool = False
    config_of_new: bool = True


def faults(old: ServerState, new: ServerState, source: Source, needed: Needed = Needed()) -> Iterator[str]:
    """The reasons why the switchover can't begin."""
    yield from _role_faults(old, new, source, needed.replace)
    yield from _version_faults(old, new)
    yield from _room_faults(old, new, needed.dbs)
    for name, state in (("old", old), ("new", new)):
        if not state.can_config and (name == "old" or needed.config_of_new):
            yield (
                f"the {name} server does not allow CONFIG, which the fence needs; for a managed server"
                ' there is "switchover": {"mode": "copy"}, and for a new one that its service makes a replica "hooks"'
            )


def is_as_left(new: ServerState, left: str) -> bool:
    """Whether `new` is as a switchover has left it, with this run id: fenced still, so nobody has written there."""
    return bool(left) and new.fenced and new.run_id == left


def copy_faults(old: ServerState, new: ServerState, dbs: int, may_replace: bool, left: str = "") -> Iterator[str]:
    """The reasons why a switchover that copies can't begin.

    @param dbs: the highest database that a client has selected.
    @param may_replace: the new server's keys may be replaced, if it has any.
    @param left: the run id with which a switchover from there has left it, if one has.
    """
    if old.role != "master":
        yield "the old server is a replica itself: {}:{} is its primary".format(*old.primary)
    if _are_one(old, new):
        yield "the old and the new server are the same one; a reload changes the way to it"
    elif new.role != "master":
        yield "the new server is a replica of {}:{} and takes no keys: make it a primary".format(*new.primary)
    elif new.keys and not (may_replace or is_predecessor(new, old) or is_as_left(new, left)):
        since = ", and somebody may have written there since it was left: it was restarted, or is not fenced any more"
        yield (
            f"the new server holds {new.keys} keys{since if left else ''}, which copying would replace: if that is"
            " right, empty it (FLUSHALL), or set switchover.replace_data to true"
        )
    yield from _replica_faults(new)
    yield from _too_old(old, new)
    yield from _room_faults(old, new, dbs)


def _room_faults(old: ServerState, new: ServerState, dbs: int) -> Iterator[str]:
    needed = max(old.highest_db, dbs) + 1
    if new.databases is not None and new.databases < needed:
        yield f"the new server has {new.databases} databases, and database {needed - 1} is in use"
    limit, used = new.number("maxmemory"), old.number("used_memory")
    if limit and limit < used:
        yield f"the new server may use {limit} bytes of memory (maxmemory), and the old one uses {used}"
    for name, state in (("old", old), ("new", new)):
        if state.info.get("cluster_enabled") == "1":
            yield f"the {name} server runs in cluster mode"


def proxy_faults(old: bool, new: bool) -> Iterator[str]:
    """Refuse servers that are proxies: a switchover has to speak with the servers themselves.

    @param old, new: whether another redisproxy answers in the place of the server.
    """
    if old:
        yield (
            "the old server is another redisproxy, which lets nobody act on the Redis server behind it: data is moved"
            " by a switchover of that proxy, and clients leave it with a reload"
        )
    if new:
        yield (
            "the new server is another redisproxy: a reload moves the clients to it, and no data; data is moved by a"
            " switchover of the proxy that is next to the Redis server"
        )


def _are_one(old: ServerState, new: ServerState) -> bool:
    return bool(new.info.get("run_id")) and new.info.get("run_id") == old.info.get("run_id")


def _is_foreign(old: ServerState, new: ServerState) -> bool:
    """Whether `new` reads the data of `old` only because it is told to try."""
    return bool(new.valkey_version) and not old.valkey_version and new.version[:2] < old.version[:2]


def _role_faults(old: ServerState, new: ServerState, source: Source, replace: bool) -> Iterator[str]:
    if old.role != "master":
        yield "the old server is a replica itself: {}:{} is its primary".format(*old.primary)
    if _are_one(old, new):
        yield "the old and the new server are the same one; a reload changes the way to it"
    elif new.role == "slave" and not follows(new, old, source):
        yield "the new server is a replica of another one, {}:{}; if that is right,".format(*new.primary) + (
            " make it follow the old one (REPLICAOF), or none (REPLICAOF NO ONE) and empty it (FLUSHALL)"
        )
    elif new.role == "master" and new.keys and not (replace or is_predecessor(new, old)):
        yield (
            f"the new server holds {new.keys} keys and does not follow the old one: replication would replace them;"
            " if that is right, empty it (FLUSHALL), make it a replica of the old one (REPLICAOF), or set"
            " switchover.replace_data to true"
        )
    yield from _errors_in_replication(new)
    yield from _replica_faults(new)


def _replica_faults(new: ServerState) -> Iterator[str]:
    writable_with = new.min_replicas
    if not new.fenced and writable_with > new.number("connected_slaves"):
        yield (
            f"the new server wants {writable_with} replicas before it takes writes (min-replicas-to-write),"
            f" and has {new.number('connected_slaves')}"
        )


def _errors_in_replication(new: ServerState) -> Iterator[str]:
    if new.role == "slave" and new.errors_in_replication:
        yield (
            f"the new server has answered {new.errors_in_replication} commands of its primary with errors, and may lack"
            " what they wrote; its log has them. Have it synchronise anew (REPLICAOF NO ONE, FLUSHALL); or, if it"
            " lacks nothing, CONFIG RESETSTAT"
        )


def _too_old(old: ServerState, new: ServerState) -> Iterator[str]:
    for name, state in (("old", old), ("new", new)):
        if state.version and state.version < OLDEST:
            yield f"the {name} server is {state.product}; the oldest that is supported is Redis 6.2"


def _version_faults(old: ServerState, new: ServerState) -> Iterator[str]:
    yield from _too_old(old, new)
    if reason := unreadable(old, new):
        yield f"the new server ({new.product}) can't be sure to read the data of the old one ({old.product}): {reason}"


def unreadable(old: ServerState, new: ServerState) -> str:
    """Why `new` may be unable to read the data of `old`; empty if it can. Patch levels do not matter.

    Valkey forked from Redis 7.2.4 and says that it is compatible with it. Both read all older data, but neither reads
    what the other has added since: Redis 7.4 has a newer RDB version, Valkey 9 one of its own.
    """
    if old.valkey_version and new.valkey_version:
        newer = new.valkey_version[:2] < old.valkey_version[:2]
    elif old.valkey_version and old.valkey_version >= FIRST_FOREIGN_VALKEY:
        return f"{_ONLY_UPWARDS}, and Redis reads the data of Valkey 8 and older only"
    else:
        newer = new.version[:2] < old.version[:2]
    if newer and new.valkey_version and not old.valkey_version:
        if new.reads_newer:
            return ""
        return (
            f"{_ONLY_UPWARDS}, and Valkey reads the data of Redis 7.2 and older only; Valkey 9 tries to with"
            " CONFIG SET rdb-version-check relaxed"
        )
    return _ONLY_UPWARDS if newer else ""


def copy_warnings(old: ServerState, new: ServerState) -> Iterator[str]:
    """What an operator should know although a switchover that copies may begin."""
    if old.fenced:
        yield "the old server is fenced already: it refuses writes now (redisproxy unfence lifts that)"
    if replicas := old.number("connected_slaves"):
        yield f"{replicas} replicas follow the old server; they are not moved"


def warnings(old: ServerState, new: ServerState) -> Iterator[str]:
    """What an operator should know although the switchover may begin."""
    if old.version and old.version < FENCES_SCRIPTS:
        yield (
            f"the old server is {old.product}: scripts of clients that bypass the proxy do not look at its fence"
            " afterwards, and what they write there is lost"
        )
    if _is_foreign(old, new):
        yield (
            f"the new server ({new.product}) reads the data of {old.product} only as far as both know it"
            " (rdb-version-check relaxed): types and commands that Valkey lacks end the switchover, or undo it"
        )
    if old.fenced:
        yield "the old server is fenced already: it refuses writes now (redisproxy unfence lifts that)"
    replicas = old.number("connected_slaves") - (1 if new.link_up else 0)
    if replicas > 0:
        yield f"{replicas} other replicas follow the old server; they are not moved"
