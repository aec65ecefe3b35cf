"""Reads a configuration file as JSON with comments, up to a size; a key that occurs twice is a fault."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from redisproxy.config.errors import ConfigError

MAX_BYTES = 1048576
SCHEMA = "$schema"
"""The key with which a file tells an editor its schema."""

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*(?:"|\Z)|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_COMMA_TOO_MANY = re.compile(r",\s*(?=[]}])")
_NOT_LINE_END = re.compile(r"[^\r\n]")


def read_object(path: Path, faults: list[str]) -> dict[str, Any]:
    """The object in the file at `path`; keys that occur twice are added to `faults`.

    @raise ConfigError: it can't be read, or holds no JSON object.
    """
    data = _parsed(path, _content(path))
    faults += _duplicates(data, "")
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: expected an object"])
    if isinstance(data.get(SCHEMA), str):
        del data[SCHEMA]
    return data


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot read it: {error.strerror}"]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than {MAX_BYTES} bytes"])
    return content


def _parsed(path: Path, content: bytes) -> Any:
    refuse_constant = partial(_no_constant, path)
    try:
        text = _STRING_OR_COMMENT.sub(_without_comment, content.decode("utf-8-sig"))
        return json.loads(text, object_pairs_hook=_Object, parse_constant=refuse_constant)
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start})"]) from None
    except json.JSONDecodeError as error:
        met = _behind_comma(error)
        place = f"line {met.lineno}, column {met.colno}"
        raise ConfigError([f"{path}: not JSON: {_in_words(met)}, {place}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply"]) from None
    except ValueError:
        raise ConfigError([f"{path}: not JSON: a number with too many digits"]) from None


_FOUND = (
    ("'", "texts and the names of keys are in double quotes"),
    ("#", "comments begin with //"),
    ("/*", "a comment that does not end"),
    ("]", "a comma too many before ]"),
    ("}", "a comma too many before }, or no value"),
    ("True", "it is written true"),
    ("False", "it is written false"),
    ("None", "it is written null"),
)
_MESSAGES = {
    "Expecting property name enclosed in double quotes": "the name of a key in double quotes was expected",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting value": "a value was expected",
    "Expecting ':' delimiter": "a colon is missing",
    "Extra data": "something stands after the end of the object",
}


def _behind_comma(error: json.JSONDecodeError) -> json.JSONDecodeError:
    """The fault at what follows a comma too many, where Python up to 3.12 finds it; newer ones find the comma."""
    comma = _COMMA_TOO_MANY.match(error.doc, error.pos)
    return error if comma is None else json.JSONDecodeError(error.msg, error.doc, comma.end())


def _in_words(error: json.JSONDecodeError) -> str:
    """What is wrong there, for somebody who does not know JSON by heart."""
    rest = error.doc[error.pos :]
    if not error.doc.strip():
        return "the file is empty"
    if not rest.strip():
        return "the file ends too early"
    told = next((text for begin, text in _FOUND if rest.startswith(begin)), "")
    return told or _MESSAGES.get(error.msg, error.msg)


def _without_comment(found: re.Match[str]) -> str:
    """Blanks in the place of a comment, so that whatever follows keeps its line and column."""
    text = found[0]
    return text if text.startswith('"') or not _ends(text) else _NOT_LINE_END.sub(" ", text)


def _ends(comment: str) -> bool:
    # One that does not end stays, and is a fault where it begins.
    return comment.startswith("//") or (len(comment) > 3 and comment.endswith("*/"))


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys occurred more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        names = [key for key, _ in pairs]
        self.twice = sorted({key for key in names if names.count(key) > 1}) if len(self) < len(names) else []


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Object):
        yield from (f"{path}{key}: the key is there twice" for key in value.twice)
        for key, item in value.items():
            yield from _duplicates(item, f"{path}{key}.")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _duplicates(item, f"{path.removesuffix('.')}[{number}].")


def _no_constant(path: Path, name: str) -> Any:
    raise ConfigError([f"{path}: not JSON: {name} is no number there"])
