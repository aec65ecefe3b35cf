"""Libraries that are only installed where they are asked for (C{pip install 'redisproxy[...]'})."""

from __future__ import annotations

from importlib.util import find_spec


def installed(module: str) -> bool:
    """Whether there is this module; it is not imported."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a package above it is missing, or was taken away
        return False
