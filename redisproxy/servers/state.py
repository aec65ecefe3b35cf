"""The state of a Redis server at one moment, from INFO and CONFIG: replication, data, versions, the fence. Pure."""

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
    """The state of a server at one moment, as it said it.

    @ivar info: the fields of INFO.
    @ivar databases: how many it has; None if it does not tell.
    @ivar min_replicas: its C{min-replicas-to-write}, the fence included.
    @ivar max_lag: its C{min-replicas-max-lag}; None if it does not tell.
    @ivar tls_port: where it expects TLS; 0 if nowhere, or if it does not tell.
    @ivar can_config: the proxy may read its configuration.
    @ivar reads_newer: it reads data of versions that it does not know, and fails at what it can't
        (C{rdb-version-check relaxed} of Valkey 9).
    """

    info: dict[str, str] = field(repr=False)
    databases: int | None = None
    min_replicas: int = 0
    max_lag: int | None = None
    tls_port: int = 0
    can_config: bool = True
    reads_newer: bool = False

    def number(self, name: str) -> int:
        """A field as an integer; 0 if it is missing."""
        text = self.info.get(name, "")
        return int(text) if text.lstrip("-").isdigit() else 0

    @property
    def role(self) -> str:
        """C{master} or C{slave}."""
        return self.info.get("role", "")

    @property
    def replication_id(self) -> str:
        """The id of the data's history; a replica has the one of its primary."""
        return self.info.get("master_replid", "")

    @property
    def former_id(self) -> str:
        """The id of the history that this server continued when it was promoted; empty if it never was."""
        former = self.info.get("master_replid2", "")
        return former if former.strip("0") else ""

    @property
    def offset(self) -> int:
        """The position in the replication stream, in bytes; for a replica, what it has applied."""
        return self.number("slave_repl_offset" if self.role == "slave" else "master_repl_offset")

    @property
    def link_up(self) -> bool:
        """Whether this is a replica that is connected to its primary and has its data."""
        return self.role == "slave" and self.info.get("master_link_status") == "up"

    @property
    def bytes_left(self) -> int | None:
        """How much of a full synchronisation is still to come; None without one, or while that is unknown."""
        if self.info.get("master_sync_in_progress") != "1":
            return None
        left = self.number("master_sync_left_bytes")
        return left if left >= 0 else None

    @property
    def primary(self) -> tuple[str, int]:
        """Host and port of the primary that a replica follows."""
        return self.info.get("master_host", ""), self.number("master_port")

    @property
    def replicas(self) -> list[tuple[str, int]]:
        """Host and port of each replica that follows this server, as it announces itself."""
        found = []
        for name, value in self.info.items():
            if name.startswith("slave") and name[5:].isdigit():
                fields = dict(part.split("=", 1) for part in value.split(",") if "=" in part)
                if fields.get("ip") and fields.get("port", "").isdigit():
                    found.append((fields["ip"], int(fields["port"])))
        return found

    @property
    def run_id(self) -> str:
        """Another one after each start of the server."""
        return self.info.get("run_id", "")

    @property
    def keys(self) -> int:
        """The number of keys in all databases."""
        return sum(self.keys_by_db.values())

    @property
    def keys_by_db(self) -> dict[int, int]:
        """The number of keys in each database that has any."""
        return {int(name[2:]): _keys(value) for name, value in self.info.items() if _is_keyspace(name)}

    @property
    def highest_db(self) -> int:
        """The highest database with keys; 0 if there are no keys."""
        return max((int(name[2:]) for name in self.info if _is_keyspace(name)), default=0)

    @property
    def errors_in_replication(self) -> int:
        """How many commands of its primary it has answered with an error since it was started."""
        return self.number("unexpected_error_replies")

    @property
    def fenced(self) -> bool:
        """Whether it is fenced by a switchover."""
        return is_fence(self.min_replicas)

    @property
    def version(self) -> tuple[int, ...]:
        """The version of Redis, or that Valkey is compatible with; empty if it does not tell."""
        return version_of(self.info.get("redis_version", ""))

    @property
    def valkey_version(self) -> tuple[int, ...]:
        """The version of Valkey; empty if this is not Valkey."""
        return version_of(self.info.get("valkey_version", ""))

    @property
    def product(self) -> str:
        """Name and version, for messages."""
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
