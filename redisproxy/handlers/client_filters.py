"""Which clients CLIENT LIST and CLIENT KILL mean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from redisproxy.resp import strict_int
from redisproxy.shared.every_worker import ClientFilter

if TYPE_CHECKING:
    from redisproxy.client.client import Client

NOBODY: frozenset[int] = frozenset()


class Problem(Exception):
    """The command is wrong; C{str()} is the error text."""


def integer(arg: bytes, error: str) -> int:
    value = strict_int(arg)
    if value is None:
        raise Problem(error)
    return value


def number(arg: bytes, error: str) -> int:
    """Of a kind that begins with 1."""
    value = integer(arg, error)
    if value < 1:
        raise Problem(error)
    return value


def of_type(which: ClientFilter, arg: bytes) -> ClientFilter:
    """Narrow `which` to clients of a type; a proxy has no replicas."""
    name = arg.lower()
    if name in (b"normal", b"pubsub"):
        return replace(which, pubsub=name == b"pubsub")
    if name in (b"master", b"replica", b"slave"):
        return replace(which, ids=NOBODY)
    raise Problem(f"ERR Unknown client type '{arg[:64].decode('latin-1')}'")


def subscribes(client: Client) -> bool:
    """Whether it has subscriptions; one that monitors is a normal client, as with Redis."""
    return client.session.subscribed and client.route.stream is not None and client.route.stream.FLAG == "P"


def matches(client: Client, which: ClientFilter, now: float) -> bool:
    """Whether `client` is one of those that are meant."""
    session = client.session
    wrong = (
        which.ids is not None and client.id not in which.ids,
        which.pubsub is not None and subscribes(client) is not which.pubsub,
        which.address not in (None, client.address),
        which.local_address not in (None, client.local_address),
        which.user not in (None, session.user),
        now - client.identity.created < which.min_age_s,
    )
    return not any(wrong)


def matching(client: Client, which: ClientFilter) -> list[Client]:
    """Those of the clients of this process, as `client` sees them."""
    now = client.core.clock.seconds()
    return client.registry.matching(lambda each: matches(each, which, now))
