"""User and password for a server of the configuration, from wherever they come; used by all that connects to one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from redisproxy.config.followed_files import FollowedFiles
from redisproxy.config.password_files import passwords_in
from redisproxy.uplink.login import Credentials

if TYPE_CHECKING:
    from pydantic import SecretStr
    from twisted.internet.defer import Deferred

    from redisproxy.config import UplinkSettings
    from redisproxy.net.network import Network
    from redisproxy.net.password_programs import PasswordProgram
    from redisproxy.uplink.login import CredentialSource


def credentials_of(uplink: UplinkSettings, network: Network) -> CredentialSource:
    """User and password for an uplink."""
    if uplink.passcommand is not None:
        limit_s = uplink.pass_timeout_ms / 1000
        return OfProgram(uplink.user, network.passwords.of(uplink.passcommand, uplink.pass_ttl_ms / 1000, limit_s))
    return _of_settings(uplink.user, uplink.password, uplink.passfile)


def sentinel_credentials_of(uplink: UplinkSettings) -> CredentialSource:
    """User and password for the sentinels of an uplink."""
    return _of_settings(uplink.sentinel_user, uplink.sentinel_password, uplink.sentinel_passfile)


def _of_settings(user: str | None, secret: SecretStr | None, passfile: str | None) -> CredentialSource:
    password = None if secret is None else secret.get_secret_value()
    if passfile is not None and password is not None:
        return OfFile(user, passfile, password)
    return Credentials(user, password)


class OfFile:
    """Implements L{CredentialSource}: the first line of a file, read again when it has changed.

    @param password: what the configuration has found there.
    """

    due = False
    failures = 0

    def __init__(self, user: str | None, path: str, password: str) -> None:
        self._user = user
        self._file = FollowedFiles([path], partial(_first_in, path), password)
        self._last = Credentials(user, password)

    @property
    def current(self) -> Credentials:
        password = self._file.current()
        if password != self._last.password:
            self._last = Credentials(self._user, password)
        return self._last

    def ask(self) -> Deferred[Credentials]:
        return self.current.ask()

    def refused(self, credentials: Credentials) -> None:
        """Part of L{CredentialSource}: the file has no other one."""


class OfProgram:
    """Implements L{CredentialSource}: what a program prints."""

    def __init__(self, user: str | None, program: PasswordProgram) -> None:
        self._user = user
        self._program = program
        self._last: Credentials | None = None

    @property
    def current(self) -> Credentials | None:
        password = self._program.password
        if password is not None and (self._last is None or self._last.password != password):
            self._last = Credentials(self._user, password)
        return self._last

    @property
    def due(self) -> bool:
        return self._program.due

    @property
    def failures(self) -> int:
        return self._program.failures

    def ask(self) -> Deferred[Credentials]:
        return self._program.ask().addCallback(lambda password: Credentials(self._user, password))

    def refused(self, credentials: Credentials) -> None:
        self._program.refused(credentials.password)


def _first_in(path: str) -> str:
    return passwords_in(path)[0]
