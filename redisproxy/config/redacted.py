"""Shows a configuration without its secrets, for the admin pages."""

from __future__ import annotations

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


def _program(command: tuple[str, ...]) -> list[str]:
    """The program alone: what it is given may be a secret."""
    return [command[0], *(REMOVED for _ in command[1:])]


def _public(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        shown = {field.alias or name: _public(getattr(value, name)) for name, field in fields.items()}
        shown |= {key: _program(getattr(value, key)) for key in _PROGRAMS & shown.keys() if shown[key] is not None}
        return {key: REMOVED if key in _SECRETS and item is not None else item for key, item in shown.items()}
    if isinstance(value, SecretStr):
        return REMOVED
    if isinstance(value, (tuple, frozenset)):
        return [_public(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    return value
