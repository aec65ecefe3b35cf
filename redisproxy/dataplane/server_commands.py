"""What the proxy has to know of a server before clients use it: its name, and commands that the table does not have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, FirstError, TimeoutError, ensureDeferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.commands.changed_keys import Positions, unknown_writes
from redisproxy.commands.lookup import in_table, learn
from redisproxy.commands.treatment import Treatment
from redisproxy.net.deferreds import first_cause
from redisproxy.net.errors import ServerBusy, UplinkError, UplinkUnavailable, is_busy
from redisproxy.resp import RespError
from redisproxy.servers.state import parse_info

if TYPE_CHECKING:
    from redisproxy.uplink import UplinkSet

LEARNED_AT_ONCE = 10
AGAIN_S = 1.0


@dataclass(frozen=True)
class Known:
    """What a server has told of itself.

    @ivar commands: those that the table does not know; nothing when it does not tell.
    @ivar writes: write commands of which nobody has tried whether CLIENT TRACKING tells of them.
    @ivar run_id: names the process; empty when it does not tell.
    """

    commands: dict[str, Treatment] = field(default_factory=dict)
    writes: dict[str, Positions] = field(default_factory=dict)
    run_id: str = ""


async def known_of(uplinks: UplinkSet) -> Known:
    """Ask a server what the proxy has to know of it.

    @raise UplinkError: there was no connection.
    """
    asked: list[Deferred[Any]] = [ensureDeferred(commands_of(uplinks)), uplinks.own_commands.ask("INFO", "server")]
    answers = gatherResults(asked, consumeErrors=True)
    try:
        commands, info = await answers.addTimeout(uplinks.context.limits.connect_timeout_s, uplinks.context.clock)
    except TimeoutError:
        raise UplinkUnavailable("the server does not answer") from None
    except FirstError as error:
        raise UplinkUnavailable(first_cause(error)) from None
    if isinstance(info, RespError) and is_busy(info.text):
        raise ServerBusy(info.text)
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    learned, writes = commands
    return Known(learned, writes, parse_info(text).get("run_id", ""))


async def commands_of(uplinks: UplinkSet) -> tuple[dict[str, Treatment], dict[str, Positions]]:
    """Ask for what L{Known} has of commands, some at a time: parsing all at once would hold clients up."""
    listed = await uplinks.own_commands.ask("COMMAND", "LIST")
    if not isinstance(listed, list):
        whole = await uplinks.own_commands.ask("COMMAND")  # before Redis 7, and much shorter there
        return learn(whole), unknown_writes(whole)
    names = [name for name in listed if isinstance(name, bytes) and b"|" not in name and not in_table(name)]
    learned: dict[str, Treatment] = {}
    writes: dict[str, Positions] = {}
    for at in range(0, len(names), LEARNED_AT_ONCE):
        some = await uplinks.own_commands.ask("COMMAND", "INFO", *names[at : at + LEARNED_AT_ONCE])
        learned |= learn(some)
        writes |= unknown_writes(some)
    return learned, writes


class Learning:
    """Asks the first server, again until it has answered.

    @param uplinks: the connections to the server in use, which may have changed before the next try.
    @param learned: called with what it has told.
    """

    log = Logger(namespace="redisproxy")

    def __init__(self, uplinks: Callable[[], UplinkSet], learned: Callable[[Known], None], clock: IReactorTime) -> None:
        self._uplinks = uplinks
        self._learned = learned
        self._clock = clock
        self._done = False
        self._waiting: list[Deferred[None]] = []
        self._running: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._running = ensureDeferred(self._run()).addErrback(self._failed)

    def stop(self) -> None:
        """Ask no more."""
        if self._running is not None:
            self._running.cancel()

    def wait(self) -> Deferred[None]:
        """Fire once it has answered. Can be cancelled."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        if self._done:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    async def _run(self) -> None:
        known = None
        while known is None:
            try:
                known = await known_of(self._uplinks())
            except UplinkError:
                await deferLater(self._clock, AGAIN_S, lambda: None)
        self._learned(known)
        self._done = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("asking the server for its commands failed", failure=failure)
