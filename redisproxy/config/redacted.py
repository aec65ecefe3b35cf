"""Shows a configuration without its secrets, for the admin pages and for whoever checks a file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, SecretStr

from redisproxy.config.settings import Settings

REMOVED = "[removed]"
_SECRETS = {"sha256"}


def public(settings: Settings) -> dict[str, Any]:
    """The settings with the keys of the file and every secret replaced."""
    shown = _public(settings)
    assert isinstance(shown, dict)
    return shown


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


def _shown(key: str, value: Any) -> Any:
    return REMOVED if key.rpartition(".")[2] in _SECRETS and value is not None else _public(value)


def _public(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        shown = {field.alias or name: _public(getattr(value, name)) for name, field in fields.items()}
        return {key: REMOVED if key in _SECRETS and item is not None else item for key, item in shown.items()}
    if isinstance(value, SecretStr):
        return REMOVED
    if isinstance(value, (tuple, frozenset)):
        return [_public(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    return value
