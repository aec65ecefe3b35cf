"""Loads a configuration file: reads it, checks it, and reports every fault at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from redisproxy.config.endpoint import Endpoint
from redisproxy.config.errors import ConfigError
from redisproxy.config.fault_texts import texts
from redisproxy.config.files import CERTIFICATE_FILES, sections_with_files, take_files, take_hooks
from redisproxy.config.json_file import read_object
from redisproxy.config.listeners import AdminSettings
from redisproxy.config.settings import Settings

CheckTLS = Callable[[Endpoint], Iterable[str]]
"""Names what is wrong with the certificates and keys of an endpoint, each text as C{key: what is wrong}."""


def load(path: str, check_tls: CheckTLS) -> Settings:
    """Read and check the file at `path`.

    @param check_tls: L{redisproxy.net.tls.faults}: only the room that opens TLS connections can tell whether the
        certificates can be used, and one that can't is a fault of the configuration.
    @raise ConfigError: the file is refused; it names every fault.
    """
    faults: list[str] = []
    data = read_object(Path(path), faults)
    folder = Path(path).resolve().parent
    for where, section in sections_with_files(data):
        take_files(where, section, folder, faults)
    take_hooks(data, folder, faults)
    single = {key for key in ("listen", "listen_raw") if not isinstance(data.get(key), list)}
    settings = _validated(data, single, faults)
    if settings is not None:
        told = {_key(fault) for fault in faults}
        found = (f"{where}.{text}" for where, endpoint in _endpoints(settings, single) for text in check_tls(endpoint))
        faults += [fault for fault in dict.fromkeys(found) if _key(fault) not in told]
    if settings is None or faults:
        raise ConfigError(faults)
    return settings


def load_admin(path: str) -> AdminSettings | None:
    """Only where the admin pages of the proxy with this file are; None when it has none.

    What else is wrong in the file does not matter: whoever has to look at a running proxy may have it half edited.

    @raise ConfigError: the section C{admin} can't be used, or the file can't be read.
    """
    faults: list[str] = []
    data = {"admin": read_object(Path(path), []).get("admin")}
    for where, section in sections_with_files(data):
        take_files(where, section, Path(path).resolve().parent, faults)
    if not data["admin"] or faults:
        if faults:
            raise ConfigError(faults)
        return None
    # The other sections are there for their faults to be told like those of a whole file.
    settings = _validated({**_ANY, **data}, {"listen"}, faults)
    if settings is None or faults:
        raise ConfigError(faults)
    return settings.admin


_ANY = {"uplink": {"addr": "/uplink", "network": "unix"}, "listen": {"addr": "/listen", "network": "unix"}}


def _endpoints(settings: Settings, single: set[str]) -> Iterator[tuple[str, Endpoint]]:
    """Every endpoint with its path in the file."""
    for key, listeners in (("listen", settings.listen), ("listen_raw", settings.listen_raw)):
        for number, listener in enumerate(listeners):
            yield key if key in single else f"{key}[{number}]", listener
    if settings.admin is not None:
        yield "admin", settings.admin
    if settings.fleet is not None:
        yield "fleet.listen", settings.fleet.listen
    yield "uplink", settings.uplink


def _key(fault: str) -> str:
    return fault.partition(": ")[0]


def _validated(data: dict[str, Any], single: set[str], faults: list[str]) -> Settings | None:
    """The settings; None when there are none, with `faults` added.

    A key that is unknown or of the wrong type hides conflicts between other keys of its section, so the rest is
    validated again without it.
    """
    while True:
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            faults += [text for text in texts(error, single) if text not in faults]
            removed = [_remove(data, each["loc"]) for each in error.errors() if _is_removable(each)]
            if not any(removed):
                return None


# Without one of these the rest would get faults that it does not have.
_NEEDED: set[int | str] = {
    *("uplink", "listen", "listen_raw", "admin", "addr", "network", "tls", "skipverify", "server_name"),
    *("pass", "passfile", "passcommand", "sha256", "users", "user", "name", "allow_open", *CERTIFICATE_FILES),
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
