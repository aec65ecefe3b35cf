"""What is legal in a configuration, and unwise: told when a file is checked, and no reason to refuse it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from redisproxy.config.certificates import TLSFault, certificates

if TYPE_CHECKING:
    from redisproxy.config.endpoint import Endpoint
    from redisproxy.config.listeners import ListenSettings
    from redisproxy.config.settings import Settings

SOON = timedelta(days=21)
LONG_PAUSE_MS = 5000
"""Client libraries give up after some such time."""
STOP_MS = 90_000
"""systemd kills a service that takes longer to stop, unless TimeoutStopSec says otherwise."""


def advice(settings: Settings, now: datetime | None = None) -> list[str]:
    """One text for each, as C{key: what may come of it}.

    @param now: for certificates that expire; the time of the system when left out.
    """
    return [
        *_of_doors(settings),
        *_of_the_uplink(settings),
        *_of_secrets(settings),
        *_of_times(settings),
        *_of_switchovers(settings),
        *_of_certificates(settings, now or datetime.now(UTC)),
    ]


def _of_doors(settings: Settings) -> Iterator[str]:
    several = len(settings.listen) > 1
    for number, listener in enumerate(settings.listen):
        yield from _of_door(f"listen[{number}]" if several else "listen", listener, "use the Redis server")
    if settings.admin is None:
        yield "admin: without it nobody can pause, reload, switch over, or see what the proxy does"
        return
    yield from _of_door("admin", settings.admin, "pause and reload the proxy")


def _of_door(where: str, listener: ListenSettings, may: str) -> Iterator[str]:
    if not _leaves_the_machine(listener):
        return
    if not (listener.passwords or listener.users or (listener.tls and listener.cacertfile)):
        yield f"{where}: whoever reaches {listener.address} may {may}: set pass, users or cacertfile"
    elif not listener.tls:
        yield f"{where}: passwords cross the network in the clear: use TLS, or an address that only trusted hosts reach"


_LIKE_A_VARIABLE = re.compile(r"\$\w+|\$?\{[^}]*\}|%\w+%")


def _of_secrets(settings: Settings) -> Iterator[str]:
    """Passwords that were meant to be environment variables, and are taken as they are written."""
    doors = [("listen", each) for each in settings.listen] + ([("admin", settings.admin)] if settings.admin else [])
    given = [("uplink.pass", settings.uplink.password), ("uplink.sentinel_pass", settings.uplink.sentinel_password)]
    given += [(f"{where}.pass", each) for where, door in doors for each in door.passwords or ()]
    given += [(f"{where}.users", each) for where, door in doors for user in door.users for each in user.passwords or ()]
    for where, secret in given:
        if secret is not None and _LIKE_A_VARIABLE.fullmatch(secret.get_secret_value()):
            yield f"{where}: taken as it is written, though it looks like a variable; ${{NAME}} stands for one"


def _of_the_uplink(settings: Settings) -> Iterator[str]:
    uplink = settings.uplink
    if uplink.skipverify:
        yield "uplink.skipverify: whoever can answer in the place of the Redis server gets all data and the password"
    has_password = uplink.password is not None or uplink.passcommand is not None
    if has_password and not uplink.tls and (uplink.sentinels or _leaves_the_machine(uplink)):
        yield "uplink: the password crosses the network in the clear: use TLS where the network is not trusted"
    if uplink.sentinels and len(uplink.sentinels) < 3:
        yield "uplink.sentinels: with fewer than three there is no majority when one is gone"
    if not uplink.ping_interval_ms:
        yield "uplink.ping_interval_ms: without pings a server that hangs is noticed only by commands that time out"


def _of_times(settings: Settings) -> Iterator[str]:
    if not settings.read_time_limit_ms:
        yield "read_time_limit_ms: a command that never returns holds every pause up, until the drain deadline"
    if settings.pause.drain_deadline_ms > LONG_PAUSE_MS:
        yield (
            f"pause.drain_deadline_ms: clients are held for up to {settings.pause.drain_deadline_ms} ms,"
            " longer than many libraries wait for a reply"
        )
    if settings.shutdown.leaving_ms + settings.shutdown.drain_deadline_ms > STOP_MS:
        yield "shutdown: a stop may take longer than the 90 s that systemd allows: raise TimeoutStopSec"
    if settings.log_messages:
        yield "log_messages: a line for each command makes the proxy several times slower"


def _of_switchovers(settings: Settings) -> Iterator[str]:
    move = settings.switchover
    if move.pause_budget_ms > LONG_PAUSE_MS:
        yield (
            f"switchover.pause_budget_ms: clients may be held for {move.pause_budget_ms} ms,"
            " longer than many libraries wait for a reply"
        )
    if move.replace_data:
        yield "switchover.replace_data: the data of whatever server uplink names next is lost: take it out afterwards"
    if move.accept_losses:
        yield "switchover.accept_losses: what can't be moved is left behind without a question: take it out afterwards"
    if move.writers_behind_proxy:
        yield "switchover.writers_behind_proxy: a write that does not pass the proxy in a switchover is lost"


def _of_certificates(settings: Settings, now: datetime) -> Iterator[str]:
    endpoints: list[tuple[str, Endpoint]] = [*settings.listeners, ("uplink", settings.uplink)]
    for where, endpoint in endpoints:
        for key in ("certfile", "cacertfile"):
            path = getattr(endpoint, key)
            ends = _first_end(key, path) if path else None
            if ends is not None and ends < now + SOON:
                yield f"{where}.{key}: {path} {'has expired' if ends < now else 'expires'} at {ends:%Y-%m-%d %H:%M} UTC"


def _first_end(key: str, path: str) -> datetime | None:
    try:
        return min(each.not_valid_after_utc for each in certificates(key, path))
    except (TLSFault, ValueError):
        return None  # a fault of its own


def _leaves_the_machine(endpoint: Endpoint) -> bool:
    host = getattr(endpoint.address, "host", None)
    if host is None or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
