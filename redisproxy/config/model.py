"""The settings as a validated, frozen model. Times and sizes carry their unit in the name."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from redisproxy.commands.allowed import not_allowable
from redisproxy.config.address import (
    Address,
    TcpAddress,
    Undiscovered,
    on_this_machine,
    or_local,
    parse_address,
)
from redisproxy.config.sentinels import sentinel_faults

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
MillisecondsOrOff = Annotated[int, Field(ge=0, le=86_400_000)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Bytes = Annotated[int, Field(ge=1024, le=1 << 40)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
MasterName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=255)]
CommandName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+(\|[A-Za-z0-9_-]+)?$", max_length=64)]


def _allowable(names: frozenset[str]) -> frozenset[str]:
    if faults := list(not_allowable(names)):
        raise PydanticCustomError("not_allowable", "\n".join(faults))
    return names


class Model(BaseModel):
    """Frozen, strict, with no unknown keys; what was given never shows in an error."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, populate_by_name=False
    )


class KeepaliveSettings(Model):
    """TCP keepalive; C{idle_s} 0 switches it off."""

    idle_s: Annotated[int, Field(ge=0, le=32767)] = 300
    interval_s: Annotated[int, Field(ge=1, le=32767)] = 30
    count: Annotated[int, Field(ge=1, le=127)] = 3


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class UserSettings(Model):
    """One user: a password, or its SHA-256 in hex."""

    name: Text
    password: SecretStr | None = Field(default=None, alias="pass")
    passfile: Text | None = None
    sha256: Sha256 | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_secret(self) -> UserSettings:
        given = [each for each in (self.password, self.sha256) if each is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of pass, passfile and sha256")
        return self


class Endpoint(Model):
    """What every address has in common."""

    addr: Text
    network: Literal["tcp", "unix", ""] = "tcp"
    tls: bool = False
    certfile: Text | None = None
    keyfile: Text | None = None
    cacertfile: Text | None = None
    skipverify: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        wrong = list(self._wrong())
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def _wrong(self) -> Iterator[str]:
        """Everything that does not go together, one text each; one about a single key begins with C{.key: }."""
        yield from self._wrong_address()
        if not self.tls and (self.certfile or self.keyfile or self.cacertfile):
            yield 'certfile, keyfile and cacertfile need "tls": true'
        elif bool(self.certfile) != bool(self.keyfile):
            yield "certfile and keyfile go together"

    def _wrong_address(self) -> Iterator[str]:
        try:
            parse_address(self.addr, self.network)
        except ValueError as error:
            yield f".addr: {error}"

    @property
    def address(self) -> Address:
        """Where it is."""
        return parse_address(self.addr, self.network)


class RawListenSettings(Endpoint):
    """A listener; with C{cacertfile} it asks every client for a certificate and verifies it."""

    backlog: Annotated[int, Field(ge=1, le=65535)] = 511
    tcp_keepalive: KeepaliveSettings = KeepaliveSettings()

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        if self.tls and not self.certfile and not self.keyfile:
            yield "tls needs certfile and keyfile"


class ListenSettings(RawListenSettings):
    """A listener that knows its users."""

    password: SecretStr | None = Field(default=None, alias="pass")
    passfile: Text | None = None
    users: Annotated[tuple[UserSettings, ...], BeforeValidator(_tuple)] = ()

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        names = [user.name for user in self.users] + (["default"] if self.password is not None else [])
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f".users: the user {name!r} is there twice"


class AdminSettings(ListenSettings):
    """The admin pages."""

    allow_open: bool = False

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        guarded = self.password is not None or self.users or self.cacertfile
        if not guarded and not self.allow_open and not _is_local(self.addr, self.network):
            yield (
                "anybody who reaches this address could pause the proxy: set pass, users or cacertfile,"
                ' use a loopback address, or set "allow_open": true'
            )


def _is_local(addr: str, network: str) -> bool:
    host = addr.rpartition(":")[0].strip("[]")
    if network == "unix" or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class UplinkSettings(Endpoint):
    """The Redis server that the proxy forwards to: at C{addr}, or whichever the sentinels call the primary."""

    addr: Text = ""
    user: Text | None = None
    password: SecretStr | None = Field(default=None, alias="pass")
    passfile: Text | None = None
    sentinels: Annotated[tuple[Text, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=100)] = ()
    master_name: MasterName | None = None
    sentinel_user: Text | None = None
    sentinel_password: SecretStr | None = Field(default=None, alias="sentinel_pass")
    sentinel_passfile: Text | None = None
    sentinel_tls: bool | None = None
    sentinel_server_name: Text | None = None
    sentinel_poll_ms: Milliseconds = 2000
    sentinel_timeout_ms: Milliseconds = 1000
    sentinel_hold_ms: MillisecondsOrOff = 2000
    server_name: Text | None = None
    connect_timeout_ms: Milliseconds = 5000
    wait_limit_ms: Milliseconds = 10000
    reconnect_min_ms: Milliseconds = 50
    reconnect_max_ms: Milliseconds = 2000
    ping_interval_ms: MillisecondsOrOff = 5000
    ping_timeout_ms: Milliseconds = 5000
    multiplex: bool = True
    max_pinned: Count = 10000
    max_dedicated: Annotated[int, Field(ge=0, le=10_000_000)] = 256
    tcp_keepalive: KeepaliveSettings = KeepaliveSettings(idle_s=60, interval_s=10, count=3)
    _found: TcpAddress | None = PrivateAttr(default=None)

    def _wrong_address(self) -> Iterator[str]:
        yield from sentinel_faults(self)
        if not self.sentinels and self.addr:
            yield from super()._wrong_address()

    def _wrong(self) -> Iterator[str]:
        yield from super()._wrong()
        if self.user is not None and self.password is None:
            yield "user needs pass or passfile"
        if self.tls and self.network == "unix" and self.server_name is None and not self.skipverify:
            yield "tls on a unix socket needs server_name"
        if self.tls and not self.cacertfile and not self.skipverify:
            yield 'tls needs cacertfile, or "skipverify": true to trust any server'
        if self.reconnect_max_ms < self.reconnect_min_ms:
            yield ".reconnect_max_ms: it is less than reconnect_min_ms"

    @property
    def address(self) -> Address:
        """Where it is; no host means this machine."""
        if self.sentinels:
            return self._found or Undiscovered(self.master_name or "", 0)
        return or_local(parse_address(self.addr, self.network))

    @property
    def sentinel_addresses(self) -> tuple[TcpAddress, ...]:
        """Where the sentinels are."""
        addresses = (or_local(parse_address(sentinel, "tcp")) for sentinel in self.sentinels)
        return tuple(address for address in addresses if isinstance(address, TcpAddress))

    @property
    def tls_to_sentinels(self) -> bool:
        """Whether the sentinels are spoken to over TLS."""
        return self.tls if self.sentinel_tls is None else self.sentinel_tls

    def at(self, found: TcpAddress) -> Self:
        """The same settings, with the primary at `found`, where the sentinels have told it is."""
        copy = self.model_copy()
        copy._found = found
        return copy


class LimitSettings(Model):
    """Bounds on what clients may make the proxy hold."""

    max_clients: Count = 10000
    max_raw_connections: Count = 1000
    max_failed_logins: Count = 10
    handshake_timeout_ms: Milliseconds = 30000
    max_held_request_bytes: Annotated[int, Field(ge=32768, le=1 << 30)] = 262144
    max_bulk_bytes: Bytes = 536870912
    max_in_flight_per_client: Count = 10000
    client_output_hard_bytes: Bytes = 67108864
    max_transaction_bytes: Bytes = 1048576
    max_transaction_commands: Count = 10000
    max_script_bytes: Bytes = 16777216


class PauseSettings(Model):
    """How a pause drains."""

    drain_deadline_ms: Milliseconds = 5000


class SwitchoverSettings(Model):
    """How a switchover moves the data.

    C{mode} C{external} is for managed servers without REPLICAOF and CONFIG: somebody else moves the data while the
    clients are held.
    """

    mode: Literal["replicate", "external"] = "replicate"
    pause_budget_ms: Milliseconds = 2000
    max_lag_ms: Milliseconds = 100
    sync_deadline_ms: Milliseconds = 3_600_000
    sync_stall_ms: Milliseconds = 60_000
    external_deadline_ms: Milliseconds = 60_000
    replicate_from: Text | None = None
    replicate_over_tls: bool | None = None
    replication_user: Text | None = None
    replication_password: SecretStr | None = Field(default=None, alias="replication_pass")

    @model_validator(mode="after")
    def _check(self) -> SwitchoverSettings:
        if self.replication_user is not None and self.replication_password is None:
            raise ValueError("replication_user needs replication_pass")
        if self.replicate_from is not None:
            try:
                parse_address(self.replicate_from, "tcp")
            except ValueError as error:
                raise ValueError(f".replicate_from: {error}") from None
        return self

    @property
    def replicate_from_address(self) -> TcpAddress | None:
        """Where the new server reaches the old one, if the configuration says it."""
        if self.replicate_from is None:
            return None
        address = parse_address(self.replicate_from, "tcp")
        assert isinstance(address, TcpAddress)
        return address

    def replication_credentials(self, old: UplinkSettings) -> tuple[str | None, str | None]:
        """User and password with which a replica logs in at `old`."""
        if self.replication_password is not None:
            return self.replication_user, self.replication_password.get_secret_value()
        return old.user, old.password.get_secret_value() if old.password is not None else None


class ShutdownSettings(Model):
    """How the proxy stops.

    C{notice_ms} is how long clients that want maintenance notifications have to leave, for C{moving_to} if that is set.
    """

    drain_deadline_ms: Milliseconds = 5000
    notice_ms: MillisecondsOrOff = 0
    moving_to: Text | None = None

    @model_validator(mode="after")
    def _check(self) -> ShutdownSettings:
        if self.moving_to is not None:
            try:
                host = getattr(parse_address(self.moving_to, "tcp"), "host", "")
            except ValueError as error:
                raise ValueError(f".moving_to: {error}") from None
            if not host:
                raise ValueError(".moving_to: a host is needed, so that clients know where to go")
        return self


def _as_list(value: Any) -> Any:
    """`listen` and `listen_raw` may be one object; one without an address is not used (Codility/redis-proxy)."""
    items = value if isinstance(value, list) else [value]
    return tuple(item for item in items if not (isinstance(item, dict) and item.get("addr") == ""))


class Settings(Model):
    """The whole configuration."""

    uplink: UplinkSettings
    listen: tuple[ListenSettings, ...] = Field(min_length=1)
    listen_raw: tuple[RawListenSettings, ...] = ()
    admin: AdminSettings | None = None
    read_time_limit_ms: MillisecondsOrOff = 5000
    idle_timeout_ms: MillisecondsOrOff = 0
    log_messages: bool = False
    allow_commands: Annotated[frozenset[CommandName], AfterValidator(_allowable)] = frozenset()
    allow_scan_across_switch: bool = False
    pubsub: bool = False
    limits: LimitSettings = LimitSettings()
    pause: PauseSettings = PauseSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    switchover: SwitchoverSettings = SwitchoverSettings()

    @model_validator(mode="before")
    @classmethod
    def _shapes(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        shaped = dict(data)
        for key in ("listen", "listen_raw"):
            if key in shaped:
                shaped[key] = _as_list(shaped[key])
        if isinstance(shaped.get("admin"), dict) and shaped["admin"].get("addr") == "":
            shaped["admin"] = None
        names = shaped.get("allow_commands")
        if isinstance(names, list):
            shaped["allow_commands"] = frozenset(name.upper() if isinstance(name, str) else "" for name in names)
        return shaped

    def with_primary_at(self, address: TcpAddress) -> Settings:
        """The same, with the uplink where the sentinels have told it is."""
        return self.model_copy(update={"uplink": self.uplink.at(address)})

    def _own(self) -> list[tuple[str, Endpoint]]:
        places = [("listen", each) for each in self.listen] + [("listen_raw", each) for each in self.listen_raw]
        return [*places, *([("admin", self.admin)] if self.admin else [])]

    @property
    def own_addresses(self) -> frozenset[Address]:
        """Where the proxy itself can be reached on this machine."""
        addresses = (endpoint.address for _, endpoint in self._own())
        return frozenset(each for address in addresses for each in on_this_machine(address))

    @model_validator(mode="after")
    def _distinct_addresses(self) -> Settings:
        seen: dict[Address, str] = {}
        for name, endpoint in self._own():
            if endpoint.address in seen:
                raise ValueError(f"{name}: the address {endpoint.address} is used by {seen[endpoint.address]} already")
            seen[endpoint.address] = name
        if self.uplink.address in seen:
            raise ValueError(f"uplink.addr: this is where the proxy itself listens ({seen[self.uplink.address]})")
        for number, sentinel in enumerate(self.uplink.sentinel_addresses):
            if sentinel in seen:
                where = f"uplink.sentinels[{number}]"
                raise ValueError(f"{where}: this is where the proxy itself listens ({seen[sentinel]})")
        return self
