"""Which clients CLIENT LIST and CLIENT KILL mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.client.client import Client

Test = Callable[["Client"], bool]


class Problem(Exception):
    """The command is wrong; C{str()} is the error text."""


def number(arg: bytes, error: str) -> int:
    if not arg.isdigit() or len(arg) > 18 or int(arg) < 1:
        raise Problem(error)
    return int(arg)


def of_type(arg: bytes) -> Test:
    name = arg.lower()
    if name == b"normal":
        return lambda each: not subscribes(each)
    if name == b"pubsub":
        return subscribes
    if name in (b"master", b"replica", b"slave"):
        return lambda each: False
    raise Problem(f"ERR Unknown client type '{arg[:64].decode('latin-1')}'")


def subscribes(client: Client) -> bool:
    """Whether it has subscriptions; one that monitors is a normal client, as with Redis."""
    return client.session.subscribed and client.route.stream is not None and client.route.stream.FLAG == "P"


def at_address(address: bytes) -> Test:
    text = address.decode("latin-1")
    return lambda each: each.address == text
