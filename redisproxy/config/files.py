"""What a configuration only names: files with certificates, which are checked, and passwords, which are taken into it.

Passwords come from a file of their own (C{passfile}), or from an environment variable (C{"${NAME}"}).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redisproxy.config.certificates import TLSFault, check_file, read_file

CERTIFICATE_FILES = ("certfile", "keyfile", "cacertfile")
PASSFILES = ("passfile", "sentinel_passfile", "secretfile")
_SECRETS = ("pass", "sentinel_pass", "replication_pass")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def sections_with_files(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the file that may name files, with its path."""
    for key in ("uplink", "admin", "listen", "listen_raw", "switchover"):
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
    yield from sections_of_fleet(data)


def sections_of_fleet(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the fleet, with their paths."""
    fleet = data.get("fleet")
    if isinstance(fleet, dict):
        yield "fleet", fleet
        if isinstance(fleet.get("listen"), dict):
            yield "fleet.listen", fleet["listen"]


def take_files(where: str, section: dict[str, Any], folder: Path, faults: list[str]) -> None:
    """Make the file names in `section` absolute, see that the files can be read, and put passwords in their place.

    @param where: the path of `section`, with which what is added to `faults` begins.
    @param folder: what names of files are relative to.
    """
    for key in (*CERTIFICATE_FILES, *PASSFILES, "pass", "sentinel_pass", "network"):
        if section.get(key) == "":
            del section[key]  # not set, as in Codility/redis-proxy
    for key in _SECRETS:
        _take_variable(f"{where}.{key}", section, key, faults)
    for key in (*CERTIFICATE_FILES, *PASSFILES):
        name = section.get(key)
        if not isinstance(name, str) or not name:
            continue
        section[key] = os.path.join(folder, name) if not os.path.exists(name) else name
        _look_into(where, key, section, faults)


def _look_into(where: str, key: str, section: dict[str, Any], faults: list[str]) -> None:
    try:
        if key in PASSFILES:
            _take_password(f"{where}.{key}", section, key, read_file(section[key]), faults)
        else:
            check_file(key, section[key])
    except TLSFault as fault:
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


def _take_variable(where: str, section: dict[str, Any], key: str, faults: list[str]) -> None:
    named = _VARIABLE.fullmatch(section[key]) if isinstance(section.get(key), str) else None
    if named is None:
        return
    value = os.environ.get(named[1], "")
    if not value:
        missing = "is empty" if named[1] in os.environ else "is not set"
        faults.append(f"{where}: the environment variable {named[1]} {missing}")
        return
    section[key] = value
