"""The configuration: a JSON file, read and checked whole, into frozen settings.

The keys of Codility/redis-proxy keep their meaning, so that its files work unchanged. Everything wrong with a file is
told at once, each fault with the path of its key; no password is ever part of a message.
"""

from redisproxy.config.address import Address, TcpAddress, Undiscovered, UnixAddress, parse_address
from redisproxy.config.faults import ConfigError
from redisproxy.config.load import load
from redisproxy.config.model import (
    AdminSettings,
    KeepaliveSettings,
    LimitSettings,
    ListenSettings,
    PauseSettings,
    RawListenSettings,
    Settings,
    ShutdownSettings,
    SwitchoverSettings,
    UplinkSettings,
    UserSettings,
)
from redisproxy.config.view import differences, fixed_differences, public

__all__ = [
    "Address",
    "AdminSettings",
    "ConfigError",
    "KeepaliveSettings",
    "LimitSettings",
    "ListenSettings",
    "PauseSettings",
    "RawListenSettings",
    "Settings",
    "ShutdownSettings",
    "SwitchoverSettings",
    "TcpAddress",
    "Undiscovered",
    "UnixAddress",
    "UplinkSettings",
    "UserSettings",
    "differences",
    "fixed_differences",
    "load",
    "parse_address",
    "public",
]
