"""The base of every section of the configuration: a frozen model, and the types of fields with their bounds.

Times and sizes carry their unit in the name.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr, StringConstraints

Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
MillisecondsOrOff = Annotated[int, Field(ge=0, le=86_400_000)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
CountOrOff = Annotated[int, Field(ge=0, le=10_000_000)]
Bytes = Annotated[int, Field(ge=1024, le=1 << 40)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(_tuple)
"""Turns a JSON array into a tuple, which is frozen."""
Command = Annotated[tuple[Text, ...], Field(min_length=1, max_length=100), FromList]
"""A program and its arguments, which no shell sees."""


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else _tuple(value)


def _one_or_several(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


MAX_PASSWORDS = 16
_OneOrSeveral = (
    Field(min_length=1, max_length=MAX_PASSWORDS),
    BeforeValidator(_several),
    PlainSerializer(_one_or_several),
)
Password = Annotated[SecretStr, Field(min_length=1)]
Passwords = Annotated[tuple[Password, ...], *_OneOrSeveral]
"""Each of them is right; one alone need not be in an array, and is not when it is sent to an older worker."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
Sha256s = Annotated[tuple[Sha256, ...], *_OneOrSeveral]
"""Like L{Passwords}, of digests."""


class Section(BaseModel):
    """One object of the configuration: frozen, strict, without unknown keys. Its errors contain no value of it."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, populate_by_name=False
    )
