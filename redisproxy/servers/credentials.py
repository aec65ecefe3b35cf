"""User and password for a server of the configuration; used by everything that connects to one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.uplink.login import Credentials

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings


def credentials_of(uplink: UplinkSettings) -> Credentials:
    """User and password for an uplink."""
    return Credentials(uplink.user, uplink.password.get_secret_value() if uplink.password else None)
