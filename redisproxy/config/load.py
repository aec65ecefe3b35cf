"""Reading a configuration file, with every fault told at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from redisproxy.config.faults import ConfigError
from redisproxy.config.model import (
    AdminSettings,
    KeepaliveSettings,
    LimitSettings,
    ListenSettings,
    PauseSettings,
    RawListenSettings,
    Settings,
    ShutdownSettings,
    SwitchoverSettings,
    UplinkSettings,
    UserSettings,
)

MAX_BYTES = 1048576
_FILES = ("certfile", "keyfile", "cacertfile")
_PASSFILES = ("passfile", "sentinel_passfile")
_SECTIONS: dict[str, type[BaseModel]] = {
    "": Settings,
    "uplink": UplinkSettings,
    "listen": ListenSettings,
    "listen_raw": RawListenSettings,
    "admin": AdminSettings,
    "limits": LimitSettings,
    "pause": PauseSettings,
    "shutdown": ShutdownSettings,
    "switchover": SwitchoverSettings,
    "tcp_keepalive": KeepaliveSettings,
    "users": UserSettings,
}


def load(path: str) -> Settings:
    """Read and check the file at `path`.

    @raise ConfigError: everything that is wrong with it.
    """
    faults: list[str] = []
    data = _read(Path(path), faults)
    folder = Path(path).resolve().parent
    for where, section in _endpoints(data):
        _resolve(where, section, folder, faults)
    single = {key for key in ("listen", "listen_raw") if not isinstance(data.get(key), list)}
    settings = _validated(data, single, faults)
    if settings is not None:
        told = {_key(fault) for fault in faults}
        faults += [fault for fault in dict.fromkeys(_tls_faults(settings, single)) if _key(fault) not in told]
    if settings is None or faults:
        raise ConfigError(faults)
    return settings


def _key(fault: str) -> str:
    return fault.partition(": ")[0]


def _validated(data: dict[str, Any], single: set[str], faults: list[str]) -> Settings | None:
    """The settings, or None with `faults` told.

    A key that is unknown or of the wrong type hides what does not go together in its section, so the rest is looked
    at again without it.
    """
    while True:
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            faults += [text for text in _texts(error, single) if text not in faults]
            removed = [_remove(data, each["loc"]) for each in error.errors() if _is_removable(each)]
            if not any(removed):
                return None


# What is left without one of these would seem to lack it.
_NEEDED: set[int | str] = {
    *("uplink", "listen", "listen_raw", "admin", "addr", "network", "tls", "skipverify", "server_name"),
    *("pass", "passfile", "sha256", "users", "user", "name", "allow_open", *_FILES),
    *("sentinels", "master_name", "sentinel_user", "sentinel_pass", "sentinel_passfile", "sentinel_tls"),
}


def _is_removable(each: Any) -> bool:
    if not each["loc"] or isinstance(each["loc"][-1], int):
        return False
    if each["type"] == "extra_forbidden":
        return True
    return each["type"] not in ("missing", "value_error") and not _NEEDED & {each["loc"][-1], *each["loc"][1:]}


def _remove(data: Any, location: tuple[int | str, ...]) -> bool:
    *parents, last = location
    for part in parents:
        data = _inner(data, part)
    if isinstance(data, dict) and last in data:
        del data[last]
        return True
    return False


def _inner(data: Any, part: int | str) -> Any:
    if isinstance(part, str):
        return data.get(part) if isinstance(data, dict) else None
    if isinstance(data, list):
        return data[part] if part < len(data) else None
    return data  # the only listener need not be in an array


def _read(path: Path, faults: list[str]) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot read it: {error.strerror}"]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than {MAX_BYTES} bytes"])
    try:
        data = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_Object, parse_constant=partial(_no_constant, path)
        )
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start})"]) from None
    except json.JSONDecodeError as error:
        raise ConfigError([f"{path}: not JSON: {error.msg}, line {error.lineno}, column {error.colno}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply"]) from None
    except ValueError:
        raise ConfigError([f"{path}: not JSON: a number with too many digits"]) from None
    faults += _duplicates(data, "")
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: expected an object"])
    return data


class _Object(dict[str, Any]):
    """A JSON object that remembers which of its keys it was given more than once."""

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


def _endpoints(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object that may hold file names, with its path."""
    for key in ("uplink", "admin", "listen", "listen_raw"):
        value = data.get(key)
        several = isinstance(value, list)
        for number, section in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(section, dict):
                where = f"{key}[{number}]" if several else key
                yield where, section
                users = section.get("users")
                for index, user in enumerate(users if isinstance(users, list) else []):
                    if isinstance(user, dict):
                        yield f"{where}.users[{index}]", user


def _resolve(where: str, section: dict[str, Any], folder: Path, faults: list[str]) -> None:
    """Make file names absolute, see that the files can be read, and put a passfile's content in its place."""
    for key in (*_FILES, *_PASSFILES, "pass", "sentinel_pass", "network"):
        if section.get(key) == "":
            del section[key]  # not set, as in Codility/redis-proxy
    for key in (*_FILES, *_PASSFILES):
        name = section.get(key)
        if not isinstance(name, str) or not name:
            continue
        section[key] = os.path.join(folder, name) if not os.path.exists(name) else name
        _look_into(where, key, section, faults)


def _look_into(where: str, key: str, section: dict[str, Any], faults: list[str]) -> None:
    from redisproxy.net import tls

    try:
        if key in _PASSFILES:
            _take_password(f"{where}.{key}", section, key, tls.read_file(section[key]), faults)
        else:
            tls.check_file(key, section[key])
    except tls.TLSFault as fault:
        faults.append(f"{where}.{fault}")
    except ValueError as error:
        faults.append(f"{where}.{key}: {error}")


def _take_password(where: str, section: dict[str, Any], key: str, content: bytes, faults: list[str]) -> None:
    target = key.removesuffix("file")
    if target in section:
        faults.append(f"{where}: give either {target} or {key}")
        return
    text = content.removesuffix(b"\n").removesuffix(b"\r")
    try:
        section[target] = text.decode("utf-8")
    except UnicodeDecodeError:
        faults.append(f"{where}: the file is not UTF-8")
    if not text:
        faults.append(f"{where}: the file is empty")


def _texts(error: ValidationError, single: set[str]) -> Iterator[str]:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    deeper = {each["loc"][0] for each in errors if len(each["loc"]) > 1}
    for each in errors:
        if each["type"] == "too_short" and len(each["loc"]) == 1 and each["loc"][0] in deeper:
            continue  # the only listener is the faulty one
        location = each["loc"]
        where = _path(location[:1] + location[2:] if location and location[0] in single else location)
        for text in _text(each, each["loc"]).split("\n"):
            yield where + text if text.startswith(".") else f"{where}: {text}" if where else text


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _text(each: Any, location: tuple[int | str, ...]) -> str:
    kind = each["type"]
    if kind == "missing":
        return "missing"
    if kind in ("model_type", "model_attributes_type"):
        return "expected an object"
    if kind == "too_short":
        return "there has to be at least one"
    if kind == "extra_forbidden" and location[0] == "listen_raw" and location[-1] == "pass":
        return "the raw relay does not support authentication by the proxy"
    if kind == "extra_forbidden":
        return "unknown key" + _hint(location)
    if kind == "value_error":
        return str(each["msg"]).removeprefix("Value error, ")
    text = str(each["msg"])
    return text[0].lower() + text[1:]


def _hint(location: tuple[int | str, ...]) -> str:
    names = [part for part in location[:-1] if isinstance(part, str)]
    model = _SECTIONS.get(names[-1] if names else "")
    if model is None:
        return ""
    known = [field.alias or name for name, field in model.model_fields.items()]
    close = get_close_matches(str(location[-1]), known, 1)
    return f", did you mean {close[0]}?" if close else ""


def _tls_faults(settings: Settings, single: set[str]) -> Iterator[str]:
    """Build every TLS context once: certificates and keys are faults of the configuration."""
    from redisproxy.net import tls

    servers: list[tuple[str, RawListenSettings]] = []
    for key, endpoints in (("listen", settings.listen), ("listen_raw", settings.listen_raw)):
        for number, each in enumerate(endpoints):
            servers.append((key if key in single else f"{key}[{number}]", each))
    if settings.admin is not None:
        servers.append(("admin", settings.admin))
    for where, endpoint in servers:
        if endpoint.tls:
            yield from tls.faults(where, lambda endpoint=endpoint: tls.server_tls(endpoint))  # type: ignore[misc]
    if settings.uplink.tls:
        yield from tls.faults("uplink", lambda: tls.uplink_tls(settings.uplink))
    for sentinel in settings.uplink.sentinel_addresses:
        yield from tls.faults("uplink", lambda host=sentinel.host: tls.sentinel_tls(settings.uplink, host))  # type: ignore[misc]
