"""What an order carries besides bytes: values of the interface as JSON, checked against their types when they arrive.

Secrets cross as they are, over a connection that is private; no error text holds anything of a value.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, SecretStr, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from redisproxy.config import Settings, TcpAddress
from redisproxy.remote.large import Large, ProtocolBroken

_CONFIG = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", strict=True, hide_input_in_errors=True)

_BYTES = "\0bytes"


class Typed(Large):
    """A value of an annotated type: numbers, texts, bytes, tuples, dictionaries, frozen dataclasses.

    @param kind: the type.
    """

    def __init__(self, kind: Any, optional: bool = False) -> None:
        super().__init__(optional)
        self.kind = kind
        # In a tuple, because a dataclass takes these settings from what it is in.
        self._adapter: TypeAdapter[Any] = TypeAdapter(tuple[kind], config=_CONFIG)

    def toStringProto(self, inObject: Any, proto: Any) -> bytes:
        """As JSON, checked: what the other side would not take is a bug on this side.

        @raise ValueError: it is not of this type.
        """
        try:
            data = self._adapter.dump_json((inObject,), warnings="error")
        except PydanticSerializationError:
            raise ValueError(f"a value that is no {self.kind}") from None
        return super().toStringProto(data, proto)

    def fromStringProto(self, inString: bytes, proto: Any) -> Any:
        """
        @raise ProtocolBroken: it is not of this type.
        """
        try:
            (value,) = self._adapter.validate_json(super().fromStringProto(inString, proto))
        except ValidationError as error:
            raise ProtocolBroken(_without_values(error)) from None
        return value


class PlainValue(Large):
    """A tree of dictionaries with text keys, lists (tuples become lists), texts, numbers, truth values, bytes, None."""

    def toStringProto(self, inObject: object, proto: Any) -> bytes:
        """As JSON, with bytes as objects of one reserved key."""
        return super().toStringProto(json.dumps(_marked(inObject)).encode(), proto)

    def fromStringProto(self, inString: bytes, proto: Any) -> Any:
        """
        @raise ProtocolBroken: it is none.
        """
        try:
            return json.loads(super().fromStringProto(inString, proto), object_hook=_unmarked)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ProtocolBroken("a value that is no JSON") from None


def _marked(value: object) -> object:
    if isinstance(value, bytes):
        return {_BYTES: b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: _marked(item) for key, item in value.items()}
    return [_marked(item) for item in value] if isinstance(value, list | tuple) else value


def _unmarked(value: dict[str, Any]) -> Any:
    return b64decode(value[_BYTES], validate=True) if value.keys() == {_BYTES} else value


class SettingsValue(Large):
    """Settings with their secrets, and with the primary that was found.

    Only what the configuration file has set is sent, so that an older data plane does not stumble over new keys with
    their defaults.
    """

    def toStringProto(self, inObject: Settings, proto: Any) -> bytes:
        """As the configuration file would have them."""
        return super().toStringProto(settings_to_bytes(inObject), proto)

    def fromStringProto(self, inString: bytes, proto: Any) -> Settings:
        """
        @raise ProtocolBroken: they are no settings, or those of another version.
        """
        return settings_from_bytes(super().fromStringProto(inString, proto))


def settings_to_bytes(settings: Settings) -> bytes:
    """Settings as JSON, with their secrets."""
    document = {"settings": settings.model_dump(by_alias=True, exclude_unset=True), "primary": _primary(settings)}
    return json.dumps(document, default=_plain).encode()


def settings_from_bytes(data: bytes) -> Settings:
    """The reverse of L{settings_to_bytes}.

    @raise ProtocolBroken: they are no settings, or those of another version.
    """
    try:
        document = json.loads(data)
        settings = Settings.model_validate_json(json.dumps(document["settings"]))
        primary = document["primary"]
        return settings if primary is None else settings.with_primary_at(TcpAddress(*primary))
    except ValidationError as error:
        raise ProtocolBroken(_without_values(error)) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ProtocolBroken("settings that are none") from None


def _primary(settings: Settings) -> tuple[str, int] | None:
    found = settings.uplink.found
    return None if found is None else (found.host, found.port)


def _plain(value: SecretStr | frozenset[str]) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else sorted(value)


def _without_values(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.errors(include_input=False, include_context=False)[0]["loc"][1:])
    return f"a value of the wrong type{f' at {where}' if where else ''}"
