"""Turns what pydantic finds wrong with a configuration into texts for operators, each with the path of its key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from redisproxy.config.endpoint import KeepaliveSettings
from redisproxy.config.fleet import FleetListenSettings, FleetSettings
from redisproxy.config.hooks import HOOKS, HookSettings, HooksSettings
from redisproxy.config.hot_keys import HotKeySettings
from redisproxy.config.limits import LimitSettings
from redisproxy.config.listeners import AdminSettings, ListenSettings, RawListenSettings, UserSettings
from redisproxy.config.opentelemetry import OpenTelemetrySettings
from redisproxy.config.pause_and_shutdown import PauseSettings, ShutdownSettings, UpgradeSettings
from redisproxy.config.settings import MAX_WORKERS, Settings
from redisproxy.config.slowlog import SlowlogSettings
from redisproxy.config.switchover import SwitchoverSettings
from redisproxy.config.uplink import UplinkSettings

_SECTIONS: dict[str, type[BaseModel]] = {
    "": Settings,
    "uplink": UplinkSettings,
    "listen": ListenSettings,
    "listen_raw": RawListenSettings,
    "admin": AdminSettings,
    "limits": LimitSettings,
    "pause": PauseSettings,
    "shutdown": ShutdownSettings,
    "upgrade": UpgradeSettings,
    "switchover": SwitchoverSettings,
    "fleet": FleetSettings,
    "fleet.listen": FleetListenSettings,
    "slowlog": SlowlogSettings,
    "hot_keys": HotKeySettings,
    "opentelemetry": OpenTelemetrySettings,
    "tcp_keepalive": KeepaliveSettings,
    "users": UserSettings,
    "hooks": HooksSettings,
    **dict.fromkeys(HOOKS, HookSettings),
}


_MEANT = {
    **dict.fromkeys(("address", "host", "hostname", "port", "url", "path", "socket"), "addr"),
    **dict.fromkeys(("upstream", "backend", "server", "servers", "redis"), "uplink"),
    **dict.fromkeys(("bind", "frontend", "listener", "listeners"), "listen"),
    **dict.fromkeys(("password", "auth", "requirepass"), "pass"),
    **dict.fromkeys(("username", "acl_user"), "user"),
    **dict.fromkeys(("cert", "certificate", "crt"), "certfile"),
    **dict.fromkeys(("ca", "cafile", "cacert"), "cacertfile"),
    **dict.fromkeys(("processes", "threads"), "workers"),
    "ssl": "tls",
    "key": "keyfile",
    "insecure": "skipverify",
    "maxclients": "max_clients",
}
"""What other programs call it."""
_TYPES = {
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "too_short": "there has to be at least one",
    "string_too_short": "it is empty",
    "string_type": "expected text in double quotes",
    "bool_type": "expected true or false",
    "tuple_type": "expected an array",
    "frozen_set_type": "expected an array",
}
_PATTERNS = {
    "allow_commands": 'expected the name of a command, such as "MONITOR" or "CONFIG|SET"',
    "run_directory": "expected a path that begins with /",
    "master_name": "expected letters, digits, and any of . _ -",
    "sha256": "expected 64 hex digits",
}
_UNITS = {"ms": " of milliseconds", "s": " of seconds", "bytes": " of bytes"}
_ONE_OF = {"workers": f'expected a number from 1 to {MAX_WORKERS}, or "auto"'}
"""Of keys with values of several types, for each of which there is a fault."""


def texts(error: ValidationError, single: set[str]) -> Iterator[str]:
    """The text of each fault in `error`, with the path of its key.

    @param single: keys whose value is one object although the settings hold a tuple; their paths have no index.
    """
    errors = error.errors(include_url=False, include_context=False)
    several: set[str] = set()
    deeper = {each["loc"][0] for each in errors if len(each["loc"]) > 1}
    for each in errors:
        if each["type"] == "too_short" and len(each["loc"]) == 1 and each["loc"][0] in deeper:
            continue  # the only listener is the faulty one
        location = each["loc"]
        if location and location[0] in _ONE_OF:
            several.add(str(location[0]))
            continue
        where = _path(location[:1] + location[2:] if location and location[0] in single else location)
        for text in _text(each, each["loc"]).split("\n"):
            yield where + text if text.startswith(".") else f"{where}: {text}" if where else text
    yield from (f"{key}: {_ONE_OF[key]}" for key in sorted(several))


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _text(each: Any, location: tuple[int | str, ...]) -> str:
    """What is wrong, without the value, which may be a secret."""
    kind, text = each["type"], str(each["msg"])
    names = [part for part in location if isinstance(part, str)]
    key = names[-1] if names else ""
    if kind == "extra_forbidden" and location[0] == "listen_raw" and key == "pass":
        return "the raw relay does not support authentication by the proxy"
    if kind == "extra_forbidden":
        return "unknown key" + _hint(location)
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    if kind == "literal_error":
        return _choice(text, each["input"])
    if kind in ("int_type", "int_from_float"):
        return "expected a whole number" + _UNITS.get(key.rpartition("_")[2] if "_" in key else "", "")
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"it has to be at {'least' if kind.startswith('greater') else 'most'} {text.rpartition(' ')[2]}"
    return _typed(kind, location, key) or text[0].lower() + text[1:]


def _typed(kind: str, location: tuple[int | str, ...], key: str) -> str:
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(key, "")
    if kind == "too_short" and isinstance(location[-1], int):
        return _TYPES["string_too_short"]
    if kind == "tuple_type" and key in ("pass", "sha256"):
        return "expected text in double quotes, or an array of such"
    if kind == "model_type" and key in ("uplink", "listen", "listen_raw", "admin"):
        return 'expected an object, such as {"addr": "localhost:1234"}'
    return "missing" if kind == "missing" else _TYPES.get(kind, "")


def _choice(text: str, value: object) -> str:
    """One of several texts was expected."""
    known = [each for each in re.findall(r"'([^']*)'", text) if each]
    quoted = [f'"{each}"' for each in known]
    expected = f"expected {', '.join(quoted[:-1])} or {quoted[-1]}" if quoted[1:] else f"expected {quoted[0]}"
    close = get_close_matches(value.lower(), known, 1) if isinstance(value, str) else []
    return expected + (f", did you mean {close[0]}?" if close else "")


def _hint(location: tuple[int | str, ...]) -> str:
    names = [part for part in location[:-1] if isinstance(part, str)]
    model = _SECTIONS.get(".".join(names)) or _SECTIONS.get(names[-1] if names else "")
    if model is None:
        return ""
    known = [field.alias or name for name, field in model.model_fields.items()]
    close = _closest(str(location[-1]).lower(), known)
    return f", did you mean {close}?" if close else ""


def _closest(key: str, known: list[str]) -> str:
    if key in known or _MEANT.get(key) in known:
        return key if key in known else _MEANT[key]
    with_unit = [f"{key}_{unit}" for unit in _UNITS if f"{key}_{unit}" in known]
    return next(iter([*with_unit, *get_close_matches(key, known, 1)]), "")
