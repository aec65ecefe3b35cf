"""Takes along what the data does not carry: ACL users and settings, set at the new server and undone with the rest.

Used by the steps preflight, which tries it, and carry. Password hashes pass through here and are shown nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.net.errors import UplinkError
from redisproxy.servers.acl import AclUser, without_hashes
from redisproxy.servers.control_connection import Arg, ServerSaidNo
from redisproxy.switchover.failure import SwitchoverFailed
from redisproxy.switchover.left_behind import shown

if TYPE_CHECKING:
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.switchover.left_behind import LeftBehind

_TRIAL = AclUser(b"__redisproxy:trial", (), frozenset())
_KEEP = "they last until the new server restarts: CONFIG REWRITE and ACL SAVE there keep them"


class Carry:
    """What one switchover takes along.

    @ivar carried: what was taken along, in words.
    """

    def __init__(self, left_behind: LeftBehind) -> None:
        self._users = left_behind.users
        self._users_before = left_behind.new.users or {}
        self._settings = left_behind.settings
        self._undo: list[tuple[Arg, ...]] = []
        self.carried: list[str] = []

    @property
    def needed(self) -> bool:
        """Whether there is anything to take along."""
        return bool(self._users or self._settings)

    async def faults(self, new: RedisServer) -> list[str]:
        """Why the new server would not take it; tried in ways that change nothing.

        Users are tried under a name of the proxy, disabled and without passwords.
        """
        tried: list[tuple[str, tuple[Arg, ...]]] = []
        for user in self._users:
            rules = [rule for rule in user.rules if rule not in (b"on", b"nopass")]
            trial = AclUser(_TRIAL.name, (b"off", *rules), frozenset())
            tried.append((f"the ACL user {_name(user)}", ("ACL", "SETUSER", *trial.arguments)))
        replies = await new.ask_all(*(command for _, command in tried)) if tried else []
        if tried:
            await new.ask_all(("ACL", "DELUSER", _TRIAL.name))
        return [
            f"{what} can't be taken along: {without_hashes(str(reply))}; change it, or leave it out of switchover.carry"
            for (what, _), reply in zip(tried, replies, strict=True)
            if isinstance(reply, ServerSaidNo)
        ]

    async def begin(self, new: RedisServer) -> None:
        """Set it at the new server; L{undo} takes it back.

        @raise SwitchoverFailed: the new server refuses something.
        """
        for setting, value in self._settings:
            await self._set(new, setting.names, value)
        for user in self._users:
            before = self._users_before.get(user.name)
            undo: tuple[Arg, ...] = ("DELUSER", user.name) if before is None else ("SETUSER", *before.arguments)
            await self._tell(new, f"user {_name(user)}", ("ACL", "SETUSER", *user.arguments), ("ACL", *undo))

    async def _set(self, new: RedisServer, names: tuple[str, ...], value: str) -> None:
        replies = await new.ask_all(*(("CONFIG", "GET", name) for name in names))
        before = next(reply for reply in replies if isinstance(reply, list) and reply)
        set_it, set_back = ("CONFIG", "SET", before[0], value), ("CONFIG", "SET", *before)
        await self._tell(new, f"setting {names[0]}", set_it, set_back)

    async def _tell(self, new: RedisServer, what: str, command: tuple[Arg, ...], undo: tuple[Arg, ...]) -> None:
        self._undo.append(undo)
        (reply,) = await new.ask_all(command)
        if isinstance(reply, ServerSaidNo):
            self._undo.pop()
            raise SwitchoverFailed(f"{what} could not be taken along (switchover.carry): {without_hashes(str(reply))}")
        self.carried.append(what)

    async def undo(self, new: RedisServer) -> None:
        """Make the new server what it was; what was undone is not undone again.

        @raise UplinkError: the server does not answer, or refuses it.
        """
        while self._undo:
            (reply,) = await new.ask_all(self._undo[-1])
            if isinstance(reply, ServerSaidNo):
                raise UplinkError(without_hashes(str(reply)))
            self._undo.pop()
        self.carried.clear()

    def warnings(self) -> list[str]:
        """What an operator should know of it."""
        return [f"{len(self.carried)} settings and users were taken along; {_KEEP}"] if self.carried else []


def _name(user: AclUser) -> str:
    return shown(user.name.decode("utf-8", "backslashreplace"))
