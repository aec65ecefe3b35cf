"""Hooks: steps of a switchover that a program carries out, because a managed server lets nobody else do it.

A program gets what it has to know as JSON on its standard input, without passwords. What it prints is in the report.
It is believed only where the servers do not tell: offsets, roles and histories are looked at as without hooks.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from redisproxy.config import TcpAddress
from redisproxy.net.program import Ended, ProgramFailed
from redisproxy.switchover.failure import SwitchoverFailed

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from redisproxy.config import UplinkSettings
    from redisproxy.config.hooks import HookName, HookSettings, HooksSettings
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.switchover.effects import Effects
    from redisproxy.switchover.preflight import Source
    from redisproxy.switchover.report import Report, SwitchoverReport

RunProgram = Callable[[Sequence[str], float, bytes, int], "Deferred[Ended]"]
"""Runs a program with its arguments, its limit in seconds, its input, and how much of its output is kept."""
MAX_WORDS = 16384
LOGGED = 500


class Hooks:
    """The hooks of one switchover.

    @param old, new: the uplinks of both servers. @param run: see L{RunProgram}.
    @ivar says_caught_up: the replicate hook has said so, for a server that does not tell.
    """

    log = Logger(namespace="redisproxy.switchover")

    def __init__(
        self,
        settings: HooksSettings,
        old: UplinkSettings,
        new: UplinkSettings,
        report: SwitchoverReport,
        effects: Effects,
        run: RunProgram,
        clock: IReactorTime,
    ) -> None:
        self.says_caught_up = False
        self._settings = settings
        self._servers = {"old": _described(old), "new": _described(new)}
        self._report = report
        self._effects = effects
        self._run = run
        self._clock = clock

    @property
    def replicates(self) -> bool:
        """Whether a program makes the new server follow the old one."""
        return self._settings.replicate is not None

    @property
    def promotes(self) -> bool:
        """Whether a program makes the new server a primary."""
        return self._settings.promote is not None

    async def replicate(self, source: Source) -> None:
        """Have the new server follow the old one.

        @param source: where the new server reaches the old one.
        @raise SwitchoverFailed: the program has failed.
        """
        self._effects.hooked = True
        said = await self._call("replicate", {"source": {"host": source.host, "port": source.port, "tls": source.tls}})
        self.says_caught_up = said.get("caught_up") is True

    async def promote(self) -> bool:
        """Have the new server become a primary; whether the program has said that it has everything.

        @raise SwitchoverFailed: the program has failed.
        """
        self._effects.hooked = True
        return (await self._call("promote", {})).get("caught_up") is True

    async def undo(self) -> str:
        """Have undone what the other two have begun; what to tell an operator if that has failed."""
        if self._settings.undo is None:
            return "the hooks of the switchover may have changed the new server, and there is no undo hook: look at it"
        try:
            await self._call("undo", {})
        except SwitchoverFailed as error:
            return f"{error}: the new server may still follow the old one, or have been promoted"
        return ""

    async def done(self) -> list[str]:
        """Tell that all is done; warnings."""
        try:
            if self._settings.done is not None:
                await self._call("done", {})
        except SwitchoverFailed as error:
            return [str(error)]
        return []

    async def _call(self, name: HookName, more: dict[str, Any]) -> dict[str, Any]:
        """What the program has said, if that is a JSON object; else nothing.

        @raise SwitchoverFailed: it has failed.
        """
        hook = self._settings.of(name)
        assert hook is not None
        began, noted = self._clock.seconds(), self._noted(name)
        asked = {"step": name, **self._servers, **more, "report": self._report.fields}
        try:
            ended = await self._run(hook.command, hook.limit_ms / 1000, json.dumps(asked).encode(), MAX_WORDS)
        except ProgramFailed as error:
            noted["result"] = str(error)
            raise SwitchoverFailed(f"the {name} hook: {error}") from None
        finally:
            noted["ms"] = round((self._clock.seconds() - began) * 1000, 2)
        return self._ended(name, hook, ended, noted)

    def _noted(self, name: HookName) -> Report:
        """What the report has of a hook, from its beginning on."""
        noted: Report = {"hook": name, "result": "killed: nobody waits for it any more", "ms": None}
        self._report.fields["hooks"].append(noted)
        return noted

    def _ended(self, name: HookName, hook: HookSettings, ended: Ended, noted: Report) -> dict[str, Any]:
        words = _words(ended.output)
        errors = _printable(ended.errors)
        result = f"killed after {hook.limit_ms} ms (limit_ms)" if ended.late else ended.how
        noted |= {"result": result or "ok", "output": words, "cut": ended.cut, "errors": errors}
        said = json.dumps(words)[:LOGGED] + (f" {json.dumps(errors[-LOGGED:])}" if errors else "")
        self.log.info("switchover: the {name} hook: {result}, {said}", name=name, result=noted["result"], said=said)
        if result:
            last = f": {errors.splitlines()[-1][:LOGGED]}" if errors else ""
            raise SwitchoverFailed(f"the {name} hook has failed ({result}){last}", late=ended.late)
        return words if isinstance(words, dict) else {}


class FollowingByHook:
    """Implements L{replica_setup.Following}: a program has the new server follow the old one."""

    def __init__(self, hooks: Hooks, source: Source) -> None:
        self.before: dict[str, str] = {}
        self._hooks = hooks
        self._source = source

    async def faults(self, open_old: Callable[[], Awaitable[RedisServer]], new: RedisServer) -> list[str]:
        """Part of L{replica_setup.Following}: only the program can know."""
        return []

    async def begin(self, new: RedisServer) -> None:
        """Have it follow."""
        await self._hooks.replicate(self._source)

    async def restore(self, new: RedisServer) -> list[str]:
        """Part of L{replica_setup.Following}: the proxy has set nothing."""
        return []


def _described(uplink: UplinkSettings) -> Report:
    address = uplink.address
    place = {"host": address.host, "port": address.port} if isinstance(address, TcpAddress) else {"path": str(address)}
    return {"address": str(address), **place, "tls": uplink.tls}


def _words(output: bytes) -> Any:
    """What was printed: JSON if it is that, else text."""
    try:
        words = json.loads(output)
        json.dumps(words, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return _printable(output)
    return words


def _printable(data: bytes) -> str:
    text = data.decode("utf-8", "replace").strip()
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)
