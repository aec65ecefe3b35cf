"""The configuration: a JSON file, read and checked as a whole, becomes frozen settings.

Every room above takes its settings from here; this room opens no connection and knows no Twisted. The keys of
Codility/redis-proxy keep their meaning, so that its files work unchanged. All faults of a file are reported at once,
each with the path of its key, and no message contains a password.
"""

from redisproxy.config.address import Address, TcpAddress, Undiscovered, UnixAddress, parse_address
from redisproxy.config.advice import advice
from redisproxy.config.differences import differences, fixed_differences
from redisproxy.config.endpoint import KeepaliveSettings
from redisproxy.config.errors import ConfigError
from redisproxy.config.fleet import FleetSettings
from redisproxy.config.limits import LimitSettings
from redisproxy.config.listeners import AdminSettings, ListenSettings, RawListenSettings, UserSettings
from redisproxy.config.load import load, load_admin
from redisproxy.config.pause_and_shutdown import PauseSettings, ShutdownSettings, UpgradeSettings
from redisproxy.config.redacted import fingerprint, in_force, public
from redisproxy.config.schema import schema
from redisproxy.config.settings import Settings
from redisproxy.config.switchover import SwitchoverSettings
from redisproxy.config.uplink import UplinkSettings

__all__ = [
    "Address",
    "AdminSettings",
    "ConfigError",
    "FleetSettings",
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
    "UpgradeSettings",
    "UplinkSettings",
    "UserSettings",
    "advice",
    "differences",
    "fingerprint",
    "fixed_differences",
    "in_force",
    "load",
    "load_admin",
    "parse_address",
    "public",
    "schema",
]
