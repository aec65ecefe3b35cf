"""The whole configuration: its sections, the keys outside of sections, and the checks across sections."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from redisproxy.commands.allow_commands import not_allowable
from redisproxy.config.address import Address, TcpAddress, on_this_machine
from redisproxy.config.fleet import FleetSettings
from redisproxy.config.hot_keys import HotKeySettings
from redisproxy.config.limits import LimitSettings
from redisproxy.config.listeners import AdminSettings, ListenSettings, RawListenSettings
from redisproxy.config.opentelemetry import OpenTelemetrySettings
from redisproxy.config.pause_and_shutdown import PauseSettings, ShutdownSettings, UpgradeSettings
from redisproxy.config.section import MillisecondsOrOff, Section, Text
from redisproxy.config.slowlog import SlowlogSettings
from redisproxy.config.switchover import SwitchoverSettings
from redisproxy.config.uplink import UplinkSettings

MAX_WORKERS = 64

CommandName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+(\|[A-Za-z0-9_-]+)?$", max_length=64)]


def _allowable(names: frozenset[str]) -> frozenset[str]:
    if faults := list(not_allowable(names)):
        raise PydanticCustomError("not_allowable", "\n".join(faults))
    return names


def _as_list(value: Any) -> Any:
    """Make a tuple of one object or several, without those whose address is empty, as in Codility/redis-proxy."""
    items = value if isinstance(value, list) else [value]
    return tuple(item for item in items if not (isinstance(item, dict) and item.get("addr") == ""))


class Settings(Section):
    """The whole configuration."""

    uplink: UplinkSettings
    listen: tuple[ListenSettings, ...] = Field(min_length=1)
    listen_raw: tuple[RawListenSettings, ...] = ()
    admin: AdminSettings | None = None
    read_time_limit_ms: MillisecondsOrOff = 5000
    idle_timeout_ms: MillisecondsOrOff = 0
    log_messages: bool = False
    log_level: Literal["debug", "info", "warn", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    allow_commands: Annotated[frozenset[CommandName], AfterValidator(_allowable)] = frozenset()
    allow_scan_across_switch: bool = False
    pubsub: bool = False
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)] | Literal["auto"] = 1
    run_directory: Annotated[Text, StringConstraints(pattern=r"^/")] | None = None
    limits: LimitSettings = LimitSettings()
    pause: PauseSettings = PauseSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    upgrade: UpgradeSettings = UpgradeSettings()
    switchover: SwitchoverSettings = SwitchoverSettings()
    slowlog: SlowlogSettings = SlowlogSettings()
    hot_keys: HotKeySettings = HotKeySettings()
    opentelemetry: OpenTelemetrySettings | None = None
    fleet: FleetSettings | None = None

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
        """The same settings, with the uplink at the address that the sentinels gave, or that a name points to."""
        return self.model_copy(update={"uplink": self.uplink.at(address)})

    @property
    def worker_count(self) -> int:
        """How many processes carry commands: one for each processor that this process may use with C{auto}."""
        return min(len(os.sched_getaffinity(0)), MAX_WORKERS) if self.workers == "auto" else self.workers

    @property
    def listeners(self) -> list[tuple[str, RawListenSettings]]:
        """Every listener, each with the key of its section."""
        places: list[tuple[str, RawListenSettings]] = [("listen", each) for each in self.listen]
        places += [("listen_raw", each) for each in self.listen_raw]
        places += [("admin", self.admin)] if self.admin else []
        return [*places, *([("fleet", self.fleet.listen)] if self.fleet else [])]

    @property
    def own_addresses(self) -> frozenset[Address]:
        """Every address at which clients on this machine reach the proxy itself."""
        addresses = (endpoint.address for _, endpoint in self.listeners)
        return frozenset(each for address in addresses for each in on_this_machine(address))

    @model_validator(mode="after")
    def _distinct_addresses(self) -> Settings:
        seen: dict[Address, str] = {}
        for name, endpoint in self.listeners:
            if endpoint.address in seen:
                raise ValueError(f"{name}: the address {endpoint.address} is used by {seen[endpoint.address]} already")
            seen[endpoint.address] = name
        seen |= {each: name for address, name in seen.items() for each in on_this_machine(address)}
        if self.uplink.address in seen:
            raise ValueError(f"uplink.addr: this is where the proxy itself listens ({seen[self.uplink.address]})")
        for number, sentinel in enumerate(self.uplink.sentinel_addresses):
            if sentinel in seen:
                where = f"uplink.sentinels[{number}]"
                raise ValueError(f"{where}: this is where the proxy itself listens ({seen[sentinel]})")
        return self
