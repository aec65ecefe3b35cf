"""What can be wrong with the keys of an uplink that is found through Sentinel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from redisproxy.config.address import parse_address

if TYPE_CHECKING:
    from redisproxy.config.model import UplinkSettings

_KEYS = {
    "sentinel_user": "sentinel_user",
    "sentinel_passfile": "sentinel_passfile",
    "sentinel_password": "sentinel_pass",
    "sentinel_tls": "sentinel_tls",
    "sentinel_server_name": "sentinel_server_name",
    "sentinel_poll_ms": "sentinel_poll_ms",
    "sentinel_timeout_ms": "sentinel_timeout_ms",
    "sentinel_hold_ms": "sentinel_hold_ms",
}


def sentinel_faults(uplink: UplinkSettings) -> Iterator[str]:
    """Everything that does not go together, one text each, which begins with C{.key: }."""
    if uplink.sentinels:
        yield from _wrong_addresses(uplink.sentinels)
        yield from _wrong_together(uplink)
        return
    if uplink.master_name is not None:
        yield ".sentinels: missing"
    elif not uplink.addr:
        yield ".addr: missing"
    for name, key in _KEYS.items():
        from_file = name == "sentinel_password" and uplink.sentinel_passfile is not None
        if name in uplink.model_fields_set and not from_file:
            yield f".{key}: it needs sentinels"


def _wrong_addresses(sentinels: tuple[str, ...]) -> Iterator[str]:
    for number, sentinel in enumerate(sentinels):
        try:
            parse_address(sentinel, "tcp")
        except ValueError as error:
            text = str(error).removesuffix(', or a path with network "unix"')
            yield f".sentinels[{number}]: {text}"
        if sentinel in sentinels[:number]:
            yield f".sentinels[{number}]: it is there twice"


def _wrong_together(uplink: UplinkSettings) -> Iterator[str]:
    if uplink.addr:
        yield ".addr: give either addr or sentinels"
    if uplink.network == "unix":
        yield ".network: sentinels tell of TCP addresses"
    if uplink.master_name is None:
        yield ".master_name: missing"
    if uplink.sentinel_user is not None and uplink.sentinel_password is None:
        yield ".sentinel_user: it needs sentinel_pass or sentinel_passfile"
    if uplink.sentinel_tls and not uplink.tls:
        yield '.sentinel_tls: it needs "tls": true'
