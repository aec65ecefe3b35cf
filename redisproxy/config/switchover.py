"""The section C{switchover}: how the data moves to another server, and how long each part may take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from redisproxy.config.address import TcpAddress, parse_address
from redisproxy.config.hooks import HooksSettings
from redisproxy.config.section import CountOrOff, Milliseconds, MillisecondsOrOff, Section, Text


def _set_of(value: Any) -> Any:
    return frozenset(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value


def _tcp_address(text: str | None) -> TcpAddress | None:
    """
    @raise ValueError: it is none.
    """
    if text is None:
        return None
    address = parse_address(text, "tcp")
    assert isinstance(address, TcpAddress)
    return address


class SwitchoverSettings(Section):
    """How a switchover moves the data.

    The C{mode} C{copy} is for servers that can't replicate from each other; C{auto} takes it where replication is not
    possible. With C{external} something else moves the data while the clients are held.
    """

    mode: Literal["replicate", "copy", "auto", "external"] = "replicate"
    verify: Literal["counts", "sample", "all"] = "sample"
    replace_data: bool = False
    writers_behind_proxy: bool = False
    accept_losses: bool = False
    pause_budget_ms: Milliseconds = 2000
    max_lag_ms: Milliseconds = 100
    sync_deadline_ms: Milliseconds = 3_600_000
    sync_stall_ms: Milliseconds = 60_000
    external_deadline_ms: Milliseconds = 60_000
    carry: Annotated[frozenset[Literal["acl", "config"]], BeforeValidator(_set_of)] = frozenset()
    strict: bool = False
    sentinel_monitor: bool = False
    keep_way_back: bool = False
    way_back_from: Text | None = None
    watch_ms: MillisecondsOrOff = 0
    watch_errors: CountOrOff = 0
    watch_latency_ms: MillisecondsOrOff = 0
    replicate_from: Text | None = None
    replicate_over_tls: bool | None = None
    replication_user: Text | None = None
    replication_password: SecretStr | None = Field(default=None, alias="replication_pass")
    hooks: HooksSettings = HooksSettings()

    @model_validator(mode="after")
    def _check(self) -> SwitchoverSettings:
        if self.replication_user is not None and self.replication_password is None:
            raise ValueError("replication_user needs replication_pass")
        if self.carry and self.mode == "external":
            raise ValueError(".carry: in external mode the proxy changes nothing at the servers")
        if self.hooks.any and self.mode != "replicate":
            raise ValueError(f".hooks: they are for the mode replicate, and this is {self.mode}")
        if self.sentinel_monitor and self.mode == "external":
            raise ValueError(".sentinel_monitor: in external mode the proxy tells sentinels nothing")
        if self.watch_ms and not (self.keep_way_back and (self.watch_errors or self.watch_latency_ms)):
            raise ValueError(".watch_ms: needs keep_way_back, and watch_errors or watch_latency_ms")
        for name in ("replicate_from", "way_back_from"):
            try:
                _tcp_address(getattr(self, name))
            except ValueError as error:
                raise ValueError(f".{name}: {error}") from None
        return self

    @property
    def replicate_from_address(self) -> TcpAddress | None:
        """The address at which the new server reaches the old one, if the configuration gives it."""
        return _tcp_address(self.replicate_from)

    @property
    def way_back_from_address(self) -> TcpAddress | None:
        """The address at which the old server reaches the new one, if the configuration gives it."""
        return _tcp_address(self.way_back_from)

    def mirrored(self, follows: bool) -> SwitchoverSettings:
        """The settings for going back: what belongs to one direction is exchanged or left out.

        @param follows: the server before follows the one in use, however its data came there. One that does not, and
            can't, is copied to.
        """
        changed: dict[str, Any] = {"carry": frozenset(), "strict": False, "replicate_over_tls": None}
        changed |= {"replicate_from": self.way_back_from, "way_back_from": self.replicate_from}
        changed |= {"replication_user": None, "replication_password": None, "hooks": HooksSettings()}
        mode = "replicate" if follows else "auto" if self.mode == "replicate" else self.mode
        return self.model_copy(update=changed | {"mode": mode})

    @property
    def replication_credentials(self) -> tuple[str | None, str] | None:
        """User and password with which a replica logs in at the old server; None when it does so as the proxy does."""
        if self.replication_password is None:
            return None
        return self.replication_user, self.replication_password.get_secret_value()
