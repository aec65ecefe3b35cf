"""A JSON schema of the configuration file, for editors: made of the settings, so that it has every key of theirs.

It takes everything that is a configuration. What only the program can tell (keys that exclude each other, files that
are not there) C{redisproxy check-config} tells.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

from redisproxy.config.files import CERTIFICATE_FILES, PASSFILES, SECRETS
from redisproxy.config.json_file import SCHEMA
from redisproxy.config.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAY_BE_EMPTY = (*CERTIFICATE_FILES, *PASSFILES)
_ONE_OR_SEVERAL = ("pass", "sha256")
_MARKUP = re.compile(r"[A-Z]\{([^}]*)\}")
_SECRET = "${NAME} stands for an environment variable."


def schema() -> dict[str, Any]:
    """The schema, as a JSON document."""
    document = Settings.model_json_schema(by_alias=True)
    meanings = json.loads((files("redisproxy.config") / "meanings.json").read_text(encoding="utf-8"))
    for name, section in {"Settings": document, **document["$defs"]}.items():
        section["description"] = _first_paragraph(section.get("description", ""))
        for key, value in section.get("properties", {}).items():
            _mend(key, value)
            value["description"] = " ".join(filter(None, [meanings[name].get(key), _SECRET if key in SECRETS else ""]))
    for key in ("listen", "listen_raw"):
        _one_or_several(document["properties"][key])
    _empty_admin(document)
    document["properties"][SCHEMA] = {"type": "string", "description": "This schema, for editors."}
    return {SCHEMA: DIALECT, "title": "redisproxy", **{key: value for key, value in document.items() if key != "title"}}


def _first_paragraph(docstring: str) -> str:
    return " ".join(_MARKUP.sub(r"\1", docstring).partition("\n\n")[0].split())


def _mend(key: str, value: dict[str, Any]) -> None:
    """What the loader takes beside what the settings say."""
    value.pop("title", None)
    kinds = value.get("anyOf", [value])
    if key in _MAY_BE_EMPTY:
        for kind in kinds:
            kind.pop("minLength", None)
    for kind in kinds:
        if kind.get("type") == "array" and key in _ONE_OR_SEVERAL:
            _one_or_several(kind)
    if key == "allow_commands":
        value["items"] = {"type": "string", "maxLength": 64}


def _one_or_several(value: dict[str, Any]) -> None:
    several: dict[str, Any] = {key: value.pop(key) for key in ("type", "items", "minItems") if key in value}
    for ours, theirs in (("minLength", "minItems"), ("maxLength", "maxItems")):
        if ours in value:  # as pydantic has it for what is not always an array
            several[theirs] = value.pop(ours)
    one = {key: what for key, what in several["items"].items() if key != "minLength"}  # an empty password is none
    value["anyOf"] = [one, several]


def _empty_admin(document: dict[str, Any]) -> None:
    """An address that is empty is none: there and for listeners."""
    for name in ("AdminSettings", "ListenSettings", "RawListenSettings"):
        document["$defs"][name]["properties"]["addr"].pop("minLength", None)
