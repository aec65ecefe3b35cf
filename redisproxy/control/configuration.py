"""The configuration in force, the file that it comes from, and the candidates that may replace it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redisproxy import config
from redisproxy.config.authentication import Authenticator, authenticator
from redisproxy.config.certificates import TLSFault
from redisproxy.dataplane.interface import Rejected
from redisproxy.net import tls
from redisproxy.net.errors import UplinkError
from redisproxy.net.tls import ServerTLS
from redisproxy.sentinel.finder import Finder
from redisproxy.sentinel.named import NamedFinder

if TYPE_CHECKING:
    from redisproxy.net.network import Network
    from redisproxy.sentinel.interface import PrimaryFinder


@dataclass(frozen=True)
class Candidate:
    """A configuration that may be taken.

    @ivar settings: with the uplink's address found. @ivar finder: what tells of it, if anything does.
    @ivar changed: the key paths in which it differs from what is in force.
    @ivar same_listeners: the listeners' certificates stay, and their files are not read.
    @ivar leaves: it goes back from this server, which the file may name still.
    @ivar admin_tls: the new certificate of the admin pages; None when that stays, or there is none.
    """

    settings: config.Settings
    finder: PrimaryFinder | None
    changed: tuple[str, ...]
    leaves: config.Address | None = None
    same_listeners: bool = False
    admin_tls: ServerTLS | None = None


class Configuration:
    """What is in force.

    @ivar finder: what tells where the uplink is, sentinels or a name, if there is such a thing.
    @ivar left: the server that was left by going back, until a file that names another one is taken.
    @ivar unfinished: the server to which the last switchover did not take place; it may have a part of the data.
    @ivar admin_users: who may use the admin pages; None when anybody may.
    @ivar admin_tls: the certificate of the admin pages, if they have one; a reload replaces what is in it.
    """

    def __init__(self, path: str, settings: config.Settings, network: Network, clock: Any) -> None:
        """
        @param path: the file that a reload reads again.
        @raise TLSFault: certificates can't be used.
        """
        self._path = path
        self._network = network
        self._clock = clock
        self.settings = settings
        self.finder: PrimaryFinder | None = None
        self.left: config.Address | None = None
        self.unfinished: config.Address | None = None
        self._back: Candidate | None = None
        self.finder = self._finder_of(settings)
        self.admin_users = _admin_users(settings)
        self.admin_tls = _admin_tls(settings)

    @property
    def drain_limit_s(self) -> float:
        """How long a pause waits for what is in flight."""
        return self.settings.pause.drain_deadline_ms / 1000

    # -- candidates

    async def of_the_file(self) -> Candidate:
        """What the file says now.

        @raise Rejected: why that is not taken.
        """
        settings = self._read()
        self._refuse_what_was_left(settings)
        try:
            finder = self._finder_of(settings)
            if finder is not None:
                settings = settings.with_primary_at(await finder.find())
            return self._candidate(settings, finder)
        except UplinkError as error:
            raise Rejected(f"uplink: {error}") from error
        except TLSFault as error:
            raise Rejected(str(error)) from error

    async def of_another_server(self) -> Candidate:
        """What the file says now; it has to name another server, and sentinels have to be left out of it, or told.

        @raise Rejected: why that is not taken.
        """
        settings, uplink = self._read(), self.settings.uplink
        _refuse_sentinels(uplink, settings)
        if settings.uplink.address == uplink.address:
            raise Rejected(
                f"uplink: the configuration file still names {uplink.address}, the server in use now;"
                " point it at the new one first"
            )
        try:
            finder = self._finder_of(settings)
            if isinstance(finder, NamedFinder):
                settings = settings.with_primary_at(await finder.find_any())
            return self._candidate(settings, finder)
        except UplinkError as error:
            raise Rejected(f"uplink: {error}") from error
        except TLSFault as error:
            raise Rejected(str(error)) from error

    def of_primary_at(self, address: config.TcpAddress) -> Candidate:
        """What is in force, with another primary."""
        settings = self.settings.with_primary_at(address)
        changed = config.differences(self.settings, settings)
        return Candidate(settings, self.finder, changed, self.left, same_listeners=True)

    def of_server_before(self, uplink: config.UplinkSettings) -> Candidate:
        """What is in force, with the server that was in use before.

        The file may name the one in use now, onto which no reload is to lead once it is left and fenced.
        """
        settings, leaves = self.settings.model_copy(update={"uplink": uplink}), self.settings.uplink.address
        changed = config.differences(self.settings, settings)
        self._back = Candidate(settings, self._finder_of(settings), changed, leaves, same_listeners=True)
        return self._back

    def of_prepared_move(self, settings: config.Settings) -> Candidate:
        """The candidate whose settings a data plane has prepared, or has in force.

        @raise TLSFault: certificates of the admin pages can't be used.
        """
        back = self._back if self._back is not None and self._back.settings == settings else None
        return back or self._candidate(settings, self._finder_of(settings))

    def _refuse_what_was_left(self, settings: config.Settings) -> None:
        """
        @raise Rejected: a reload would lead onto the server that was left by going back.
        """
        if self.left is not None and settings.uplink.address == self.left:
            raise Rejected(
                f"uplink: the configuration file still names {self.left}, which was left by going back and refuses"
                f" writes; have it name {self.settings.uplink.address}, the server in use. To go to {self.left} again"
                " with the data, run redisproxy switchover"
            )

    def _candidate(self, settings: config.Settings, finder: PrimaryFinder | None) -> Candidate:
        changed = config.differences(self.settings, settings)
        return Candidate(settings, finder, changed, admin_tls=_admin_tls(settings))

    def _read(self) -> config.Settings:
        try:
            settings = config.load(self._path, tls.faults)
        except config.ConfigError as error:
            raise Rejected(str(error)) from error
        fixed = config.fixed_differences(self.settings, settings)
        if fixed:
            raise Rejected("\n".join(map(_fixed, fixed)))
        return settings

    def _finder_of(self, settings: config.Settings) -> PrimaryFinder | None:
        if settings.uplink.sentinels:
            return Finder(settings, self._network, self._clock, self.finder)
        if settings.uplink.watched_name is not None:
            return NamedFinder(settings, self._network, self._clock, self.finder)
        return None

    # -- taking one

    def found_in_force(self, settings: config.Settings) -> None:
        """The data plane has these in force: those of a move whose end was not seen may have become so.

        @raise TLSFault: certificates of the admin pages can't be used.
        """
        if settings != self.settings:
            self.take(self.of_prepared_move(settings))

    def take(self, candidate: Candidate) -> None:
        """It is in force; the data plane has swapped."""
        self.settings = candidate.settings
        self.finder = candidate.finder
        self.left = candidate.leaves
        self.admin_users = _admin_users(candidate.settings)
        if self.admin_tls is not None and candidate.admin_tls is not None:
            self.admin_tls.replace(candidate.admin_tls)


def _refuse_sentinels(uplink: config.UplinkSettings, settings: config.Settings) -> None:
    """
    @raise Rejected: Sentinel would undo what a switchover from `uplink` to that of `settings` does.
    """
    if settings.uplink.sentinels:
        raise Rejected(
            "uplink.sentinels: redisproxy failover goes to another server that Sentinel watches. To go to one that it"
            ' does not, give that as uplink.addr instead, with "switchover": {"sentinel_monitor": true}'
        )
    if uplink.sentinels and not settings.switchover.sentinel_monitor:
        raise Rejected(
            "switchover.sentinel_monitor: Sentinel watches the server in use, and would undo a switchover behind its"
            " back; true has the sentinels watch the new server afterwards, with all their settings"
        )


def _fixed(key: str) -> str:
    if key == "workers":
        return "workers: a reload can't change between 1 and more; redisproxy upgrade can"
    return f"{key}: can't change while the proxy runs; restart it"


def _admin_users(settings: config.Settings) -> Authenticator | None:
    users = authenticator(settings.admin) if settings.admin is not None else None
    return users if users is not None and users.required else None


def _admin_tls(settings: config.Settings) -> ServerTLS | None:
    """
    @raise TLSFault: its files can't be used.
    """
    admin = settings.admin
    if admin is None or not admin.tls:
        return None
    return tls.server_tls(admin, settings.limits.handshake_timeout_ms / 1000)
