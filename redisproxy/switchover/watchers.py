"""The sentinels that watch the old server of a switchover: they forget it before the promotion, and watch the new one.

They would take the new server, which has followed the old one, for a replica that lost its way, and make it one again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from redisproxy.config import TcpAddress, UplinkSettings
from redisproxy.config.address import is_name
from redisproxy.net.errors import UplinkError
from redisproxy.sentinel.failing_over import DOWN, fields_of
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.credentials import credentials_of

if TYPE_CHECKING:
    from redisproxy.net.network import Network
    from redisproxy.sentinel.finder import Finder, Sentinel
    from redisproxy.switchover.report import SwitchoverReport
    from redisproxy.uplink.login import Credentials

CARRIED = (
    "down-after-milliseconds",
    "failover-timeout",
    "parallel-syncs",
    "notification-script",
    "client-reconfig-script",
)
"""What SENTINEL MASTER tells and SENTINEL SET takes; passwords it does not tell."""
Command = tuple[str, ...]


class Watchers:
    """The sentinels of one switchover; none, where Sentinel has nothing to do with it.

    @param finder: theirs. @param old, new: both servers, with what logs in there.
    @ivar forgotten: some of them may have forgotten the old server, and do not watch another one yet.
    """

    def __init__(self, finder: Finder | None, old: UplinkSettings, new: UplinkSettings, network: Network) -> None:
        self.forgotten = False
        self._network = network
        self._sentinels: list[Sentinel] = [] if finder is None else finder.sentinels
        self._name = "" if finder is None else finder.name
        self._old = old
        self._new = new
        self._known: dict[Sentinel, dict[str, str]] = {}

    async def faults(self) -> list[str]:
        """Why they can't be told to watch the new server; what they know of the old one is remembered."""
        faults = list(_unfit(self._new)) if self._sentinels else []
        for sentinel in self._sentinels:
            try:
                (about,) = await sentinel.line.ask(("SENTINEL", "MASTER", self._name))
            except UplinkError as error:
                faults.append(f"every sentinel has to be told of the new server: {error}")
                continue
            self._known[sentinel] = fields_of(about)
            faults += [f"{sentinel.line.name}: {fault}" for fault in self._faults_of(about)]
        return faults

    def _faults_of(self, about: object) -> Iterator[str]:
        if isinstance(about, ServerSaidNo):
            yield str(about)
            return
        fields = fields_of(about)
        flags = fields.get("flags", "").split(",")
        if "failover_in_progress" in flags or any(flag in flags for flag in DOWN):
            yield "a failover is under way, or about to be"
        others = fields.get("num-other-sentinels", "")
        if others != str(len(self._sentinels) - 1):
            yield (
                f"it knows {others or 'an unknown number of'} other sentinels, and uplink.sentinels has"
                f" {len(self._sentinels) - 1}: name all; SENTINEL RESET {self._name} forgets those that are gone"
            )

    async def note(self) -> None:
        """Remember how each of them watches the old server; one that does not answer is left out."""
        for sentinel in self._sentinels:
            with suppress(UplinkError):
                (about,) = await sentinel.line.ask(("SENTINEL", "MASTER", self._name))
                if not isinstance(about, ServerSaidNo):
                    self._known[sentinel] = fields_of(about)

    async def mend(self, in_use: UplinkSettings) -> list[str]:
        """Have those that watch nobody watch the server in use: who had them forget the old one can't tell them.

        @return: what was done, and what could not be, for the log.
        """
        told = []
        for sentinel in self._known:
            name = sentinel.line.name
            try:
                (where,) = await sentinel.line.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name))
                if not where:
                    warnings = await self._watch_at(sentinel, in_use)
                    told.append("; ".join([f"{name} watched nobody, and watches {in_use.place} now", *warnings]))
            except UplinkError as error:
                told.append(f"{name} may watch nobody: {error}; at each: {self._by_hand(in_use)}")
        return told

    async def forget(self) -> None:
        """Have them forget the old server.

        @raise UplinkError: one of them may not have.
        """
        self.forgotten = bool(self._sentinels)
        for sentinel in self._sentinels:
            await _told(sentinel, ("SENTINEL", "REMOVE", self._name))

    async def watch_old(self, _: int = 0) -> None:
        """Have them watch the old server as before.

        @raise UplinkError: one of them may not.
        """
        await self._watch(self._old)
        self.forgotten = False

    async def watch_new(self, report: SwitchoverReport) -> None:
        """Have them watch the new server as they did the old one; what fails becomes a warning, with what to do."""
        if not self._sentinels:
            return
        try:
            if not self.forgotten:
                await self.forget()
            report.warn(await self._watch(self._new))
        except UplinkError as error:
            report.warn([f"not all sentinels watch the new server: {error}; at each: {self._by_hand(self._new)}"])
        else:
            self.forgotten = False
            report.warn(
                [f"the sentinels watch {self._new.place} now: have uplink name them again, and reload, to follow them"]
            )

    @property
    def old_by_hand(self) -> str:
        """What to tell a sentinel so that it watches the old server."""
        return self._by_hand(self._old)

    def _by_hand(self, uplink: UplinkSettings) -> str:
        quorum = next((fields.get("quorum", "") for fields in self._known.values()), "")
        host, port = _place(uplink)
        return f"SENTINEL REMOVE {self._name}, SENTINEL MONITOR {self._name} {host} {port} {quorum}, SENTINEL SET ..."

    async def _watch(self, uplink: UplinkSettings) -> list[str]:
        """Tell all of them; warnings.

        @raise UplinkError: one of them does not watch it, or does not answer.
        """
        warnings = []
        for sentinel in self._sentinels:
            # It may do so already, as far as an answer was lost.
            await sentinel.line.ask(("SENTINEL", "REMOVE", self._name))
            warnings += await self._watch_at(sentinel, uplink)
        return warnings

    async def _watch_at(self, sentinel: Sentinel, uplink: UplinkSettings) -> list[str]:
        """Tell one that watches nobody; warnings."""
        login, known = await credentials_of(uplink, self._network).ask(), self._known[sentinel]
        await _told(sentinel, ("SENTINEL", "MONITOR", self._name, *_place(uplink), known.get("quorum", "2")))
        settings = list(self._settings(known, login))
        replies = await sentinel.line.ask(*settings) if settings else []
        return [str(reply) for reply in replies if isinstance(reply, ServerSaidNo)]

    def _settings(self, known: Mapping[str, str], login: Credentials) -> Iterator[Command]:
        if login.password is not None:
            # First: without it the server would be down.
            yield ("SENTINEL", "SET", self._name, "auth-pass", login.password)
        if login.user is not None and login.password is not None:
            yield ("SENTINEL", "SET", self._name, "auth-user", login.user)
        for option in CARRIED:
            if known.get(option):
                yield ("SENTINEL", "SET", self._name, option, known[option])


async def _told(sentinel: Sentinel, command: Command) -> None:
    """
    @raise UplinkError: it refuses, or does not answer.
    """
    (reply,) = await sentinel.line.ask(command)
    if isinstance(reply, ServerSaidNo):
        raise reply


def _place(uplink: UplinkSettings) -> tuple[str, str]:
    place = uplink.place
    assert isinstance(place, TcpAddress)
    return place.host, str(place.port)


def _unfit(new: UplinkSettings) -> Iterator[str]:
    place = new.place
    if not isinstance(place, TcpAddress) or is_name(place.host) or place.host == "localhost":
        yield f"the sentinels can't watch {place}: give the new server's IP address and port in uplink.addr"
    if new.passcommand is not None:
        yield "sentinels need a password that stays valid, and uplink.passcommand gives others all the time"
