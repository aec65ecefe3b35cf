"""The files with certificates, keys and passwords of the configuration in force: what is wrong with them, and for how
long certificates are valid.

Whoever uses such a file looks at it himself; here is only what operators are told of it, once for all processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy.config.certificates import TLSFault, certificates
from redisproxy.config.followed_files import FollowedFiles
from redisproxy.config.password_files import passwords_in
from redisproxy.net import tls

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.config.endpoint import Endpoint
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Configuration
    from redisproxy.figures.metrics import OperationFigures

LOOK_S = 1.0
TOLD_AFTER_S = 2.5
"""A certificate and its key are replaced one after the other; in between they do not belong together."""


@dataclass(frozen=True)
class Expiry:
    """When the certificates of one file expire; of several, the first.

    @ivar key: C{certfile} or C{cacertfile}. @ivar at: seconds since 1970.
    """

    key: str
    path: str
    at: float


class _Watched:
    """The files of one section."""

    def __init__(self, where: str, files: FollowedFiles[tuple[Expiry, ...]]) -> None:
        self.where = where
        self.files = files
        self.told = ""
        self._wrong_since = 0.0

    def look(self, now: float) -> str:
        """What there is to tell now that was not told before, if anything."""
        before, wrong_before = self.files.value, self.files.error
        after = self.files.current()
        error = self.files.error
        if error:
            self._wrong_since = self._wrong_since if wrong_before else now
            if error == self.told or now - self._wrong_since < TOLD_AFTER_S:
                return ""
            self.told = error
            return f"{error}; what was read before stays in use"
        changed, self.told = bool(self.told) or (bool(before) and after is not before), ""
        return "the files are read again, and used for new connections" if changed else ""


class CredentialFiles:
    """Looks about once a second.

    @param wall: seconds since 1970.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(
        self,
        configuration: Configuration,
        metrics: OperationFigures,
        clock: IReactorTime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._configuration = configuration
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._about: Settings | None = None
        self._watched: list[_Watched] = []
        self._looked_at = 0.0

    def tick(self) -> None:
        """Look if it is time for it; to be called often."""
        now = self._clock.seconds()
        if self._about is self._configuration.settings and now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        if self._about is not self._configuration.settings:
            self._about = self._configuration.settings
            self._watched = list(_watched(self._about))
        for each in self._watched:
            told = each.look(now)
            if each.told and told:
                self._metrics.credentials_reload_failed_total += 1
                self.log.error("{where}: {told}", where=each.where, told=told)
            elif told:
                self.log.info("{where}: {told}", where=each.where, told=told)

    def describe(self) -> list[Answer]:
        """What the pages show."""
        return [self._shown(each) for each in self._watched]

    def _shown(self, watched: _Watched) -> Answer:
        shown = [self._shown_expiry(expiry) for expiry in watched.files.value]
        return {"where": watched.where, "error": watched.told, "certificates": shown}

    def _shown_expiry(self, expiry: Expiry) -> Answer:
        left_s = round(expiry.at - self._wall())
        return {"file": expiry.key, "path": expiry.path, "expires_at": round(expiry.at), "expires_in_s": left_s}

    def expiries(self) -> dict[tuple[str, str, str], float]:
        """For how many seconds certificates are valid still, by section, key and path; below 0 when they are not."""
        return {
            (each.where, expiry.key, expiry.path): expiry.at - self._wall()
            for each in self._watched
            for expiry in each.files.value
        }


def _watched(settings: Settings) -> Iterator[_Watched]:
    for where, endpoint in _endpoints(settings):
        paths = [path for path in (endpoint.certfile, endpoint.keyfile, endpoint.cacertfile) if path]
        if paths:
            yield _Watched(where, FollowedFiles(paths, partial(_expiries, endpoint), ()))
        for key, path in _passfiles(endpoint):
            yield _Watched(f"{where}.{key}", FollowedFiles([path], partial(_read, path), ()))


def _endpoints(settings: Settings) -> Iterator[tuple[str, Endpoint]]:
    for key, listeners in (("listen", settings.listen), ("listen_raw", settings.listen_raw)):
        for number, listener in enumerate(listeners):
            yield f"{key}[{number}]", listener
    if settings.admin is not None:
        yield "admin", settings.admin
    if settings.fleet is not None:
        yield "fleet.listen", settings.fleet.listen
    yield "uplink", settings.uplink


def _passfiles(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    users = enumerate(getattr(endpoint, "users", ()))
    found = [(f"users[{number}].passfile", user.passfile) for number, user in users]
    found += [(key, getattr(endpoint, key, None)) for key in ("passfile", "sentinel_passfile")]
    yield from ((key, path) for key, path in found if path is not None)


def _expiries(endpoint: Endpoint) -> tuple[Expiry, ...]:
    """
    @raise TLSFault: the files can't be used.
    """
    if faults := "; ".join(tls.faults(endpoint)):
        raise TLSFault(faults)
    files = [(key, getattr(endpoint, key)) for key in ("certfile", "cacertfile")]
    return tuple(Expiry(key, path, _first_to_expire(key, path)) for key, path in files if path)


def _first_to_expire(key: str, path: str) -> float:
    return min(each.not_valid_after_utc.timestamp() for each in certificates(key, path))


def _read(path: str) -> tuple[Expiry, ...]:
    """
    @raise ValueError: it can't be used.
    """
    passwords_in(path)
    return ()
