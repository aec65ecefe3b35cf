"""What a server has beside its data: settings that clients feel, ACL users, modules, functions, commands.

The preflight of a switchover asks both servers. What its user may not ask for is named, and the rest is compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redisproxy.servers.acl import AclUser, users_of
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.felt_settings import FELT_SETTINGS, FeltSetting

if TYPE_CHECKING:
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.servers.state import ServerState

KNOWS_COMMAND_LIST = (7,)
_NAMES = tuple(name for setting in FELT_SETTINGS for name in setting.names)
_OWN_MODULES = {"lua"}
"""Valkey's name for what every server has: EVAL."""
_OWN_COMMANDS = {"host:", "post", "pfselftest"}
"""Not for clients: they catch HTTP requests, or test the server."""


@dataclass(frozen=True)
class Equipment:
    """What a server has; None for what it does not tell.

    @ivar settings: the values of settings, by their first name in L{FELT_SETTINGS}.
    @ivar functions: the names of the libraries. @ivar unasked: what was refused, and with which error.
    """

    settings: Mapping[str, str]
    users: Mapping[bytes, AclUser] | None = field(repr=False, default=None)
    modules: frozenset[str] | None = None
    functions: frozenset[str] | None = None
    commands: frozenset[str] | None = None
    unasked: tuple[tuple[str, str], ...] = ()


async def equipment_of(server: RedisServer, state: ServerState) -> Equipment:
    """Ask a server; nothing is changed.

    @param state: what is known of it.
    @raise UplinkUnavailable: it does not answer.
    """
    has_list = state.version >= KNOWS_COMMAND_LIST
    questions: dict[str, tuple[str, ...]] = {"users": ("ACL", "LIST"), "modules": ("MODULE", "LIST")}
    questions["commands"] = ("COMMAND", "LIST") if has_list else ("COMMAND",)
    if has_list:
        questions["functions"] = ("FUNCTION", "LIST")
    answers = dict(zip(questions, await server.ask_all(*questions.values()), strict=True))
    values = await server.ask_all(*(("CONFIG", "GET", name) for name in _NAMES))
    answers["settings"] = next((each for each in values if isinstance(each, ServerSaidNo)), None)
    good = {name: reply for name, reply in answers.items() if isinstance(reply, list)}
    return Equipment(
        _settings(dict(zip(_NAMES, map(_value, values), strict=True)), state),
        users_of(good["users"]) if "users" in good else None,
        _modules(good.get("modules")),
        _names(good["functions"], "library_name") if "functions" in good else frozenset() if not has_list else None,
        _commands(good.get("commands")),
        tuple((name, str(reply)) for name, reply in answers.items() if isinstance(reply, ServerSaidNo)),
    )


def _settings(values: Mapping[str, str | None], state: ServerState) -> dict[str, str]:
    found = {}
    for setting in FELT_SETTINGS:
        value = next((values[name] for name in setting.names if values[name] is not None), _in_info(setting, state))
        if value is not None:
            found[setting.names[0]] = setting.canonical(value)
    return found


def _in_info(setting: FeltSetting, state: ServerState) -> str | None:
    return state.info.get(setting.in_info) if setting.in_info else None


def _value(reply: object) -> str | None:
    return _text(reply[1]) if isinstance(reply, list) and len(reply) == 2 else None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _modules(reply: list[Any] | None) -> frozenset[str] | None:
    return None if reply is None else _names(reply, "name") - _OWN_MODULES


def _names(reply: list[Any], key: str) -> frozenset[str]:
    """From a list of flat lists of keys and values."""
    found = set()
    for each in reply:
        if isinstance(each, list):
            fields = {_text(name): value for name, value in zip(each[::2], each[1::2], strict=False)}
            found.add(_text(fields.get(key, "")))
    return frozenset(found - {""})


def _commands(reply: list[Any] | None) -> frozenset[str] | None:
    """COMMAND LIST has names, COMMAND a list for each command."""
    if reply is None:
        return None
    names = (each[0] if isinstance(each, list) and each else each for each in reply)
    return frozenset(_text(name).lower() for name in names) - _OWN_COMMANDS
