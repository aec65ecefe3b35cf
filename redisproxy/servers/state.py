"""What a Redis server says of itself at one moment: its replication, its data, and whether it bears a fence of ours."""

from __future__ import annotations

from dataclasses import dataclass, field

from redisproxy.servers.fence import is_fence
from redisproxy.servers.version import version_of


def parse_info(text: str) -> dict[str, str]:
    """The fields of INFO (https://redis.io/docs/latest/commands/info/)."""
    fields = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name] = value.strip()
    return fields


@dataclass(frozen=True)
class ServerState:
    """What a server said of itself at one moment.

    @ivar info: the fields of INFO.
    @ivar databases: how many it has; None when it does not tell.
    @ivar min_replicas: its C{min-replicas-to-write}, the fence included.
    @ivar max_lag: its C{min-replicas-max-lag}; None when it does not tell.
    @ivar tls_port: where it expects TLS; 0 when nowhere, or when it does not tell.
    @ivar can_config: it lets us read its configuration.
    """

    info: dict[str, str] = field(repr=False)
    databases: int | None = None
    min_replicas: int = 0
    max_lag: int | None = None
    tls_port: int = 0
    can_config: bool = True

    def number(self, name: str) -> int:
        """A field as an integer; 0 when it is not there."""
        text = self.info.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else 0

    @property
    def role(self) -> str:
        """C{master} or C{slave}."""
        return self.info.get("role", "")

    @property
    def replication_id(self) -> str:
        """Names the history of the data; a replica has that of its primary."""
        return self.info.get("master_replid", "")

    @property
    def former_id(self) -> str:
        """Names the history that this server has gone on with when it was promoted; empty when there is none."""
        former = self.info.get("master_replid2", "")
        return former if former.strip("0") else ""

    @property
    def offset(self) -> int:
        """How far the data is, in bytes of the replication stream: of a replica, what it has applied."""
        return self.number("slave_repl_offset" if self.role == "slave" else "master_repl_offset")

    @property
    def link_up(self) -> bool:
        """Whether a replica is connected to its primary and has its data."""
        return self.role == "slave" and self.info.get("master_link_status") == "up"

    @property
    def bytes_left(self) -> int | None:
        """How much of a full synchronisation has still to arrive; None when there is none, or nobody knows yet."""
        if self.info.get("master_sync_in_progress") != "1":
            return None
        left = self.number("master_sync_left_bytes")
        return left if left >= 0 else None

    @property
    def primary(self) -> tuple[str, int]:
        """Whom a replica follows."""
        return self.info.get("master_host", ""), self.number("master_port")

    @property
    def keys(self) -> int:
        """The number of keys in all databases."""
        return sum(_keys(value) for name, value in self.info.items() if _is_keyspace(name))

    @property
    def highest_db(self) -> int:
        """The highest database that has keys; 0 when none has."""
        return max((int(name[2:]) for name in self.info if _is_keyspace(name)), default=0)

    @property
    def fenced(self) -> bool:
        """Whether it bears a fence of ours."""
        return is_fence(self.min_replicas)

    @property
    def version(self) -> tuple[int, ...]:
        """The Redis version that it is or is compatible with; empty when it does not tell."""
        return version_of(self.info.get("redis_version", ""))

    @property
    def valkey_version(self) -> tuple[int, ...]:
        """The Valkey version; empty when it is none."""
        return version_of(self.info.get("valkey_version", ""))

    @property
    def product(self) -> str:
        """Name and version for people."""
        if self.valkey_version:
            return f"Valkey {self.info['valkey_version']}"
        return f"Redis {self.info.get('redis_version', '(unknown)')}"


def _is_keyspace(name: str) -> bool:
    return name.startswith("db") and name[2:].isdigit()


def _keys(value: str) -> int:
    for part in value.split(","):
        name, _, number = part.partition("=")
        if name == "keys" and number.isdigit():
            return int(number)
    return 0
