"""Every key of the configuration is in its documentation."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from redisproxy.config.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def keys(model: type[BaseModel]) -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(field.alias or name)
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= keys(inner)
    return found


def test_every_key_is_in_the_documentation() -> None:
    text = DOCS.read_text()
    missing = sorted(key for key in keys(Settings) if f"`{key}`" not in text)
    assert not missing
