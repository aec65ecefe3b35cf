"""Reading a configuration file, with every fault told at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import get_close_matches
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
    UplinkSettings,
    UserSettings,
)

MAX_BYTES = 1048576
_FILES = ("certfile", "keyfile", "cacertfile")
_SECTIONS: dict[str, type[BaseModel]] = {
    "": Settings,
    "uplink": UplinkSettings,
    "listen": ListenSettings,
    "listen_raw": RawListenSettings,
    "admin": AdminSettings,
    "limits": LimitSettings,
    "pause": PauseSettings,
    "shutdown": ShutdownSettings,
    "tcp_keepalive": KeepaliveSettings,
    "users": UserSettings,
}


def load(path: str) -> Settings:
    """Read and check the file at `path`.

    @raise ConfigError: everything that is wrong with it.
    """
    data = _read(Path(path))
    faults: list[str] = []
    folder = Path(path).resolve().parent
    for where, section in _endpoints(data):
        _resolve(where, section, folder, faults)
    single = {key for key in ("listen", "listen_raw") if not isinstance(data.get(key), list)}
    try:
        settings = Settings.model_validate(data)
    except ValidationError as error:
        raise ConfigError([*faults, *_texts(error, single)]) from None
    faults += _tls_faults(settings, single)
    if faults:
        raise ConfigError(faults)
    return settings


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot read it: {error.strerror}"]) from None
    if len(content) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than {MAX_BYTES} bytes"])
    try:
        data = json.loads(content.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8 (byte {error.start})"]) from None
    except json.JSONDecodeError as error:
        raise ConfigError([f"{path}: not JSON: {error.msg}, line {error.lineno}, column {error.colno}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: nested too deeply"]) from None
    if not isinstance(data, dict):
        raise ConfigError([f"{path}: expected an object"])
    return data


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError([f"{key}: the key is there twice"])
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ConfigError([f"{name} is no value for a setting"])


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
    for key in (*_FILES, "pass", "passfile", "network"):
        if section.get(key) == "":
            del section[key]  # not set, as in Codility/redis-proxy
    for key in (*_FILES, "passfile"):
        name = section.get(key)
        if not isinstance(name, str) or not name:
            continue
        path = Path(name) if Path(name).exists() else folder / name
        section[key] = str(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            faults.append(f"{where}.{key}: cannot read {name}: {error.strerror}")
            continue
        if key == "passfile":
            _take_password(where, section, content, faults)


def _take_password(where: str, section: dict[str, Any], content: bytes, faults: list[str]) -> None:
    if "pass" in section:
        faults.append(f"{where}.passfile: give either pass or passfile")
        return
    text = content.removesuffix(b"\n").removesuffix(b"\r")
    try:
        section["pass"] = text.decode("utf-8")
    except UnicodeDecodeError:
        faults.append(f"{where}.passfile: the file is not UTF-8")
    if not text:
        faults.append(f"{where}.passfile: the file is empty")


def _texts(error: ValidationError, single: set[str]) -> Iterator[str]:
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    deeper = {each["loc"][0] for each in errors if len(each["loc"]) > 1}
    for each in errors:
        if each["type"] == "too_short" and each["loc"][0] in deeper:
            continue  # the only listener is the faulty one
        location = each["loc"]
        where = _path(location[:1] + location[2:] if location and location[0] in single else location)
        yield f"{where}: {_text(each, each['loc'])}" if where else _text(each, each["loc"])


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _text(each: Any, location: tuple[int | str, ...]) -> str:
    kind = each["type"]
    if kind == "missing":
        return "missing"
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
    from redisproxy import tls

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
        yield from tls.faults("uplink", lambda: tls.client_tls(settings.uplink, "localhost"))
