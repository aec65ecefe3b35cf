"""Compares what two servers have beside their data: what clients will feel after a switchover. Pure.

Each difference is a row of the report's table. Neither passwords nor their hashes are in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from redisproxy.servers.acl import AclUser
from redisproxy.servers.equipment import Equipment
from redisproxy.servers.felt_settings import FELT_SETTINGS, FeltSetting

MAX_ROWS = 100
MAX_SHOWN = 60
NAMES_SHOWN = 8
_EFFECTS = {
    "module": "its commands and types are missing",
    "function": "FCALL of its functions is an error",
    "commands": "these are errors at the new server",
}
_UNASKED = {
    "users": "ACL users and their rules",
    "modules": "modules",
    "commands": "commands",
    "functions": "functions",
    "settings": "settings, but for those that INFO tells",
}


@dataclass(frozen=True)
class Difference:
    """One row.

    @ivar kind: C{setting}, C{user}, C{module}, C{function}, C{commands}, or C{not compared}.
    @ivar old, new: what each server has, in a few words. @ivar effect: what clients feel.
    @ivar carried: the switchover takes it along.
    """

    kind: str
    name: str
    old: str
    new: str
    effect: str
    carried: bool = False

    def as_row(self) -> dict[str, Any]:
        """As the report has it: every text is short, and printable."""
        return {key: shown(value) if isinstance(value, str) else value for key, value in asdict(self).items()}


def shown(text: str) -> str:
    """A text of a server for a table: printable, and not too long."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in text)
    return clean if len(clean) <= 2 * MAX_SHOWN else f"{clean[: 2 * MAX_SHOWN]}..."


@dataclass(frozen=True)
class LeftBehind:
    """What two servers have beside their data, and what the switchover takes along.

    @ivar carry: the setting C{switchover.carry}.
    @ivar own_user: with whom the proxy logs in at the new server: this user stays as it is there, and its passwords
        are those of the configuration file.
    @ivar functions: whether functions may stay behind; replication brings them.
    """

    old: Equipment
    new: Equipment
    carry: frozenset[str]
    own_user: bytes
    functions: bool = False

    @property
    def settings(self) -> list[tuple[FeltSetting, str]]:
        """The settings to carry over, and their values."""
        if "config" not in self.carry:
            return []
        names = {setting: setting.names[0] for setting in self._unlike() if setting.carried}
        return [(setting, self.old.settings[name]) for setting, name in names.items() if name in self.new.settings]

    @property
    def users(self) -> list[AclUser]:
        """The users to carry over."""
        if "acl" not in self.carry:
            return []
        return [user for user, _ in self._unlike_users() if user.name != self.own_user]

    def differences(self) -> Iterator[Difference]:
        """Every difference that clients can feel."""
        carried = {setting.names[0] for setting, _ in self.settings}
        for setting in self._unlike():
            name = setting.names[0]
            values = self.old.settings[name], self.new.settings.get(name, "(has no such setting)")
            old, new = (value or '""' for value in values)
            yield Difference("setting", name, old, new, setting.effect, name in carried)
        users = {user.name for user in self.users}
        for user, how in self._unlike_users():
            name = user.name.decode("utf-8", "backslashreplace")
            yield Difference("user", name, "there", how, "who logs in with it", user.name in users)
        yield from self._missing()
        yield from self._not_compared()

    def _unlike(self) -> Iterator[FeltSetting]:
        for setting in FELT_SETTINGS:
            name = setting.names[0]
            told = name in self.new.settings or not self._untold("settings")
            if told and name in self.old.settings and self.old.settings[name] != self.new.settings.get(name):
                yield setting

    def _unlike_users(self) -> Iterator[tuple[AclUser, str]]:
        if self.old.users is None or self.new.users is None:
            return
        for name, user in self.old.users.items():
            there = self.new.users.get(name)
            how = "missing" if there is None else ", ".join(user.differences(there, name != self.own_user))
            if how:
                yield user, how

    def _missing(self) -> Iterator[Difference]:
        for kind, old, new in (
            ("module", self.old.modules, self.new.modules),
            ("function", self.old.functions if self.functions else None, self.new.functions),
        ):
            for name in sorted((old or frozenset()) - new) if new is not None else ():
                yield Difference(kind, name, "there", "missing", _EFFECTS[kind])
        if missing := self._missing_commands():
            rest = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
            names = ", ".join(missing[:NAMES_SHOWN]) + rest
            yield Difference("commands", names, "there", "unknown", _EFFECTS["commands"])

    def _missing_commands(self) -> list[str]:
        old, new = self.old.commands, self.new.commands
        if old is None or new is None:
            return []
        # Redis 6.2 does not list subcommands.
        whole = all(any("|" in name for name in names) for names in (old, new))
        return sorted(name for name in old - new if whole or "|" not in name)

    def _untold(self, what: str) -> bool:
        return any(what == name for name, _ in self.new.unasked)

    def _not_compared(self) -> Iterator[Difference]:
        for what, error in (*self.old.unasked, *self.new.unasked):
            if what != "functions" or self.functions:
                yield Difference("not compared", _UNASKED[what], "", "", error)


def table(differences: list[Difference]) -> list[dict[str, Any]]:
    """The rows of the report; beyond a hundred they are only counted."""
    rows = [each.as_row() for each in differences[:MAX_ROWS]]
    if len(differences) > MAX_ROWS:
        more = Difference("further", f"{len(differences) - MAX_ROWS} differences", "", "", "too many to be shown")
        rows.append(more.as_row())
    return rows
