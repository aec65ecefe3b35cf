"""The users of a listener, of Redis clients and of the admin pages; passwords are compared in constant time.

Only SHA-256 digests are kept, and both sides of a comparison are digests of the same length, so the time that it takes
reveals nothing about a password or its length. A user may have several passwords, so that one can be replaced by
another without a moment in which the other side has the wrong one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from redisproxy.config.followed_files import FollowedFiles
from redisproxy.config.password_files import passwords_in

if TYPE_CHECKING:
    from pydantic import SecretStr

    from redisproxy.config import ListenSettings
    from redisproxy.config.listeners import UserSettings

DEFAULT_USER = b"default"
_NOBODY = bytes(32)
Digests = tuple[bytes, ...]


def digest(password: bytes) -> bytes:
    """The SHA-256 of a password, 32 bytes."""
    return hashlib.sha256(password).digest()


class Authenticator:
    """The users of one listener.

    @param users: by name, what tells the digests of a user's passwords; it is asked whenever they are needed.
    """

    def __init__(self, users: Mapping[bytes, Callable[[], Digests]]) -> None:
        self._users = dict(users)

    def __repr__(self) -> str:
        return f"Authenticator({len(self._users)} users)"

    @property
    def required(self) -> bool:
        """Whether clients must authenticate at all."""
        return bool(self._users)

    @property
    def has_default(self) -> bool:
        """Whether the user C{default} exists, so that a password without a name can be right."""
        return DEFAULT_USER in self._users

    def knows(self, user: bytes) -> bool:
        """Whether there is such a user. The user C{default} always exists, as in Redis."""
        return user == DEFAULT_USER or user in self._users

    def check(self, user: bytes, password: bytes) -> bool:
        """Whether `password` is one of `user`'s; the answer takes as long for an unknown user as for a known one."""
        digests = self._users.get(user)
        known = (_NOBODY,) if digests is None else digests()
        given = digest(password)
        right = [hmac.compare_digest(given, each) for each in known]
        return any(right) and digests is not None


def digests_of(passwords: Iterable[SecretStr]) -> Digests:
    """The digests of `passwords`, in their order."""
    return tuple(digest(each.get_secret_value().encode()) for each in passwords)


def authenticator(endpoint: ListenSettings) -> Authenticator:
    """Who may use `endpoint`. Files with passwords are read again when they have changed."""
    users: dict[bytes, Callable[[], Digests]] = {}
    if endpoint.passwords is not None:
        users[DEFAULT_USER] = _known(endpoint.passfile, digests_of(endpoint.passwords))
    for user in endpoint.users:
        users[user.name.encode()] = _known(user.passfile, _digests(user))
    return Authenticator(users)


def _digests(user: UserSettings) -> Digests:
    return tuple(map(bytes.fromhex, user.sha256)) if user.sha256 else digests_of(user.passwords or ())


def _known(passfile: str | None, digests: Digests) -> Callable[[], Digests]:
    """What tells the digests: those of the settings, or those in a file from which the settings had theirs."""
    if passfile is None:
        return lambda: digests
    return FollowedFiles([passfile], partial(_in_file, passfile), digests).current


def _in_file(path: str) -> Digests:
    return tuple(digest(each.encode()) for each in passwords_in(path))
