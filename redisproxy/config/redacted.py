"""Shows a configuration without its secrets, for the admin pages."""

from __future__ import annotations

from collections.abc import Iterator
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


def not_default(settings: Settings) -> dict[str, Any]:
    """The settings that differ from their defaults, by the path of the key, with every secret replaced."""
    return dict(_not_default(settings, ""))


def _not_default(section: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in type(section).model_fields.items():
        value, path = getattr(section, name), prefix + (field.alias or name)
        if value == field.get_default(call_default_factory=True):
            continue
        if isinstance(value, BaseModel):
            yield from _not_default(value, f"{path}.")
        elif isinstance(value, tuple) and any(isinstance(each, BaseModel) for each in value):
            for number, each in enumerate(value):
                yield from _not_default(each, f"{path}[{number}].")
        else:
            yield path, REMOVED if name in _SECRETS else _public(value)


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
