"""What a configuration only names: files with certificates, which are checked, and passwords, which are taken into it.

Passwords come from a file of their own (C{passfile}), or from an environment variable (C{"${NAME}"}).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redisproxy.config.certificates import TLSFault, check_file
from redisproxy.config.password_files import passwords_in
from redisproxy.config.programs import take_program

CERTIFICATE_FILES = ("certfile", "keyfile", "cacertfile")
PASSFILES = ("passfile", "sentinel_passfile", "secretfile")
SECRETS = ("pass", "sentinel_pass", "replication_pass", "secret")
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


def written_secrets(data: dict[str, Any]) -> Iterator[str]:
    """The paths of all passwords that stand in the file as they are; C{"${NAME}"} only names one."""
    for where, section in sections_with_files(data):
        for key in SECRETS:
            given = section.get(key)
            texts = [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str)]
            if any(each and not _VARIABLE.fullmatch(each) for each in texts):
                yield f"{where}.{key}"


def secret_files(data: dict[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """The names of all files with passwords and private keys, by the paths of their keys in the configuration."""
    for where, section in sections_with_files(data):
        for key in ("keyfile", *PASSFILES):
            name = section.get(key)
            if isinstance(name, str) and name:
                yield f"{where}.{key}", _found(name, folder)


def sections_of_fleet(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the fleet, with their paths."""
    fleet = data.get("fleet")
    if isinstance(fleet, dict):
        yield "fleet", fleet
        if isinstance(fleet.get("listen"), dict):
            yield "fleet.listen", fleet["listen"]


def take_hooks(data: dict[str, Any], folder: Path, faults: list[str]) -> None:
    """Do the same with the programs of the section C{switchover.hooks}."""
    switchover = data.get("switchover")
    hooks = switchover.get("hooks") if isinstance(switchover, dict) else None
    for name, hook in hooks.items() if isinstance(hooks, dict) else ():
        if isinstance(hook, dict):
            take_program(f"switchover.hooks.{name}", hook, "command", folder, faults)


def take_files(where: str, section: dict[str, Any], folder: Path, faults: list[str]) -> None:
    """Make the file names in `section` absolute, see that the files can be read, and put passwords in their place.

    @param where: the path of `section`, with which what is added to `faults` begins.
    @param folder: what names of files are relative to.
    """
    for key in (*CERTIFICATE_FILES, *PASSFILES, "pass", "sentinel_pass", "network"):
        if section.get(key) == "":
            del section[key]  # not set, as in Codility/redis-proxy
    take_program(where, section, "passcommand", folder, faults)
    for key in SECRETS:
        if isinstance(section.get(key), list):
            section[key] = [_from_variable(f"{where}.{key}[{n}]", each, faults) for n, each in enumerate(section[key])]
        elif key in section:
            section[key] = _from_variable(f"{where}.{key}", section[key], faults)
    for key in (*CERTIFICATE_FILES, *PASSFILES):
        name = section.get(key)
        if not isinstance(name, str) or not name:
            continue
        section[key] = _found(name, folder)
        _look_into(where, key, section, faults)


def _found(name: str, folder: Path) -> str:
    return os.path.join(folder, name) if not os.path.exists(name) else name


def _look_into(where: str, key: str, section: dict[str, Any], faults: list[str]) -> None:
    try:
        if key in PASSFILES:
            _take_passwords(f"{where}.{key}", where in ("uplink", "fleet"), section, key, faults)
        else:
            check_file(key, section[key])
    except TLSFault as fault:
        faults.append(f"{where}.{fault}")
    except ValueError as error:
        faults.append(f"{where}.{key}: {error}")


def _take_passwords(where: str, one: bool, section: dict[str, Any], key: str, faults: list[str]) -> None:
    """
    @param one: the proxy logs in with it, and so with the first one.
    """
    target = key.removesuffix("file")
    if target in section:
        faults.append(f"{where}: give either {target} or {key}")
        return
    passwords = passwords_in(section[key])
    section[target] = passwords[0] if one else list(passwords)


def _from_variable(where: str, secret: Any, faults: list[str]) -> Any:
    """What the environment variable holds that `secret` names, if it does."""
    named = _VARIABLE.fullmatch(secret) if isinstance(secret, str) else None
    if named is None:
        return secret
    value = os.environ.get(named[1], "")
    if not value:
        missing = "is empty" if named[1] in os.environ else "is not set"
        faults.append(f"{where}: the environment variable {named[1]} {missing}")
    return value or secret
