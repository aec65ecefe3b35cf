"""Names and passwords, as AUTH and HELLO give them. No password of a client reaches Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.session import DEFAULT_USER

if TYPE_CHECKING:
    from redisproxy.client.client import Client

WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."


def login(client: Client, user: bytes, password: bytes) -> bool:
    """Check a name and password and log the client in if they are right."""
    # A listener without users has the user "default" with no password, as Redis has: any password is right.
    open_to_all = not client.auth.required and user == DEFAULT_USER
    if not open_to_all and not client.auth.check(user, password):
        client.core.metrics.clients.auth_failures_total += 1
        client.session.failed_logins += 1
        return False
    client.session.user = user
    client.apply_framing()
    return True


def close_guesser(client: Client) -> None:
    """Close a client that has given too many wrong passwords; the last error still reaches it."""
    if client.session.failed_logins >= client.core.limits.max_failed_logins:
        client.closing.count("failed_logins")
        client.closing.close()
