"""Compares two configurations: what a reload reports, and what it can't change."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from redisproxy.config.settings import Settings

_FIXED = re.compile(
    r"(listen|listen_raw)(\[\d+\]\.(addr|network|tls|backlog))?|admin(\.(addr|network|tls|backlog))?"
    r"|fleet\.listen\.(addr|network|tls|backlog)|run_directory"
)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, BaseModel):
        found: dict[str, Any] = {}
        for name, field in type(value).model_fields.items():
            found |= _flat(getattr(value, name), f"{path}.{field.alias or name}" if path else field.alias or name)
        return found
    if isinstance(value, tuple):
        found = {path: len(value)}
        for number, item in enumerate(value):
            found |= _flat(item, f"{path}[{number}]")
        return found
    return {path: value}


def differences(old: Settings, new: Settings) -> tuple[str, ...]:
    """The paths of the keys whose values differ, never the values."""
    before, after = _flat(old), _flat(new)
    nothing = object()
    keys = sorted(before.keys() | after.keys())
    return tuple(key for key in keys if before.get(key, nothing) != after.get(key, nothing))


def fixed_differences(old: Settings, new: Settings) -> tuple[str, ...]:
    """The differences that need a restart: where the proxy listens, whether with TLS, and whether it has workers."""
    fixed = tuple(key for key in differences(old, new) if _FIXED.fullmatch(key))
    if (old.worker_count > 1) != (new.worker_count > 1):
        fixed = (*fixed, "workers")
    if (old.admin is None) != (new.admin is None):
        fixed = ("admin", *(key for key in fixed if not key.startswith("admin")))
    if (old.fleet is None) != (new.fleet is None):
        fixed = ("fleet", *(key for key in fixed if not key.startswith("fleet")))
    return fixed
