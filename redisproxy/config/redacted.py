"""Shows a configuration without its secrets, for the admin pages and for whoever checks a file."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, SecretStr

from redisproxy.config.settings import Settings

REMOVED = "[removed]"
_SECRETS = {"sha256"}
_PROGRAMS = {"passcommand", "command"}


def public(settings: Settings) -> dict[str, Any]:
    """The settings with the keys of the file and every secret replaced."""
    shown = _public(settings)
    assert isinstance(shown, dict)
    return shown


def fingerprint(settings: Settings) -> str:
    """Twelve characters that differ when settings do; of secrets only whether there are any has a part in it."""
    text = json.dumps(public(settings), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def in_force(settings: Settings, everything: bool = False) -> dict[str, Any]:
    """What differs from the defaults, by the paths of the keys, with every secret replaced.

    @param everything: what does not differ, too.
    """
    return _in_force(settings, everything, "", None)


def _in_force(section: BaseModel, everything: bool, where: str, usual: object) -> dict[str, Any]:
    """
    @param usual: the section as it is when the file says nothing of it; None when there is none.
    """
    found: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        key, value = where + (field.alias or name), getattr(section, name)
        default = field.default if usual is None else getattr(usual, name)
        if isinstance(value, BaseModel):
            found |= _in_force(value, everything, f"{key}.", default if isinstance(default, BaseModel) else None)
        elif isinstance(value, tuple) and value and all(isinstance(item, BaseModel) for item in value):
            for number, item in enumerate(value):
                found |= _in_force(item, everything, f"{key}[{number}]." if len(value) > 1 else f"{key}.", None)
        elif everything or value != default:
            found[key] = _shown(key, value)
    return found


def _shown(path: str, value: Any) -> Any:
    key = path.rpartition(".")[2]
    if value is None:
        return None
    if key in _PROGRAMS:
        return _program(value)
    return REMOVED if key in _SECRETS or _is_secret(value) else _public(value)


def _is_secret(value: Any) -> bool:
    return isinstance(value, tuple) and any(isinstance(each, SecretStr) for each in value)


def _program(command: tuple[str, ...]) -> list[str]:
    """The program alone: what it is given may be a secret."""
    return [command[0], *(REMOVED for _ in command[1:])]


def _public(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {field.alias or name: _shown(name, getattr(value, name)) for name, field in fields.items()}
    if isinstance(value, SecretStr):
        return REMOVED
    if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], SecretStr):
        return REMOVED  # one alone need not be in an array
    if isinstance(value, (tuple, frozenset)):
        return [_public(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    return value
