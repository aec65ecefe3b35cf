"""The users of a listener, of Redis clients and of the admin pages; passwords are compared in constant time.

Only SHA-256 digests are kept, and both sides of a comparison are digests of the same length, so the time that it takes
reveals nothing about a password or its length.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from redisproxy.config import AdminSettings, ListenSettings

DEFAULT_USER = b"default"
_NOBODY = bytes(32)


def digest(password: bytes) -> bytes:
    """The SHA-256 of a password, 32 bytes."""
    return hashlib.sha256(password).digest()


class Authenticator:
    """The users of one listener.

    @param password: the password of the user C{default}; clients that give no name are this user.
    @param users: C{(name, password, sha256 in hex)}; exactly one of the last two is given.
    """

    def __init__(
        self,
        password: SecretStr | None = None,
        users: Iterable[tuple[str, SecretStr | None, str | None]] = (),
    ) -> None:
        self._digests: dict[bytes, bytes] = {}
        if password is not None:
            self._digests[DEFAULT_USER] = digest(password.get_secret_value().encode())
        for name, secret, sha256 in users:
            known = bytes.fromhex(sha256) if sha256 else digest((secret or SecretStr("")).get_secret_value().encode())
            self._digests[name.encode()] = known

    def __repr__(self) -> str:
        return f"Authenticator({len(self._digests)} users)"

    @property
    def required(self) -> bool:
        """Whether clients must authenticate at all."""
        return bool(self._digests)

    @property
    def has_default(self) -> bool:
        """Whether the user C{default} exists, so that a password without a name can be right."""
        return DEFAULT_USER in self._digests

    def knows(self, user: bytes) -> bool:
        """Whether there is such a user. The user C{default} always exists, as in Redis."""
        return user == DEFAULT_USER or user in self._digests

    def check(self, user: bytes, password: bytes) -> bool:
        """Whether `password` is the one of `user`; the answer takes as long for an unknown user as for a known one."""
        known = self._digests.get(user)
        right = hmac.compare_digest(digest(password), known or _NOBODY)
        return right and known is not None


def authenticator(endpoint: ListenSettings | AdminSettings) -> Authenticator:
    """Who may use `endpoint`."""
    return Authenticator(endpoint.password, [(user.name, user.password, user.sha256) for user in endpoint.users])
