"""Turns what pydantic finds wrong with a configuration into texts for operators, each with the path of its key."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from redisproxy.config.endpoint import KeepaliveSettings
from redisproxy.config.fleet import FleetListenSettings, FleetSettings
from redisproxy.config.hooks import HOOKS, HookSettings, HooksSettings
from redisproxy.config.limits import LimitSettings
from redisproxy.config.listeners import AdminSettings, ListenSettings, RawListenSettings, UserSettings
from redisproxy.config.pause_and_shutdown import PauseSettings, ShutdownSettings, UpgradeSettings
from redisproxy.config.settings import MAX_WORKERS, Settings
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
    "tcp_keepalive": KeepaliveSettings,
    "users": UserSettings,
    "hooks": HooksSettings,
    **dict.fromkeys(HOOKS, HookSettings),
}


_ONE_OF = {"workers": f'expected a number from 1 to {MAX_WORKERS}, or "auto"'}
"""Of keys with values of several types, for each of which there is a fault."""


def texts(error: ValidationError, single: set[str]) -> Iterator[str]:
    """The text of each fault in `error`, with the path of its key.

    @param single: keys whose value is one object although the settings hold a tuple; their paths have no index.
    """
    errors = error.errors(include_url=False, include_context=False, include_input=False)
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
    kind = each["type"]
    if kind == "missing":
        return "missing"
    if kind in ("model_type", "model_attributes_type"):
        return "expected an object"
    if kind == "too_short":
        return "there has to be at least one"
    if kind == "extra_forbidden" and location[0] == "listen_raw" and location[-1] == "pass":
        return "the raw relay does not support authentication by the proxy"
    if kind == "extra_forbidden":
        return "unknown key" + _hint(location)
    if kind == "value_error":
        return str(each["msg"]).removeprefix("Value error, ")
    text = str(each["msg"])
    return text[0].lower() + text[1:]


def _hint(location: tuple[int | str, ...]) -> str:
    names = [part for part in location[:-1] if isinstance(part, str)]
    model = _SECTIONS.get(".".join(names)) or _SECTIONS.get(names[-1] if names else "")
    if model is None:
        return ""
    known = [field.alias or name for name, field in model.model_fields.items()]
    close = get_close_matches(str(location[-1]), known, 1)
    return f", did you mean {close[0]}?" if close else ""
