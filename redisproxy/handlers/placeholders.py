"""Commands inside of MULTI that the proxy answers itself, or refuses.

Such a command is queued at Redis as a placeholder that changes nothing. C{exec_reply} answers it when EXEC's reply
brings the placeholder's. What Redis refuses to queue is refused here, too, with the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.open_transaction import SPOILER
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.handlers import local_commands, pubsub
from redisproxy.handlers.forward import pretend, queue
from redisproxy.handlers.hello import hello_version
from redisproxy.handlers.reply_sinks import Swallowed
from redisproxy.resp import encode_command

if TYPE_CHECKING:
    from redisproxy.client.client import Client

TOO_MUCH = (
    "ERR too many commands inside of MULTI that the proxy answers itself (limits.max_transaction_commands, _bytes)"
)
NOT_INSIDE = "ERR redisproxy does not subscribe inside of MULTI; send the command before MULTI or after EXEC"
NO_TRACKING_INSIDE = "ERR redisproxy does not change CLIENT TRACKING inside of MULTI; send it before or after"
NO_OTHERS_INSIDE = (
    "ERR redisproxy does not ask other workers inside of MULTI; send the command before MULTI or after EXEC"
)
_ABOUT_ALL = [[b"CLIENT", name] for name in (b"LIST", b"KILL", b"UNBLOCK")]
_PLACEHOLDER = encode_command("PING")


def refuse(client: Client, args: list[bytes], text: str) -> bool:
    """A command that the proxy does not queue: as Redis does, answer with the error and let EXEC fail."""
    if not _reject(client, text):
        return False
    client.count_refused(args)
    return True


def give_up(client: Client) -> None:
    """Give the transaction up: what Redis has queued goes away with the connection. No reply is outstanding."""
    transaction = client.session.transaction
    if transaction is not None:
        transaction.dead = True
        client.session.unwatch()
        client.route.discard()


def of_tracking(client: Client, args: list[bytes]) -> bool:
    """Whether the server itself answers a command about CLIENT TRACKING, which is on at the client's connection."""
    name = args[1].upper() if len(args) > 1 and args[0].upper() == b"CLIENT" else b""
    return name == b"CACHING" or (name == b"TRACKINGINFO" and client.session.tracking is not None)


# -- commands that the proxy answers


def own(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Queue a command that the proxy answers itself."""
    transaction = client.session.transaction
    assert transaction is not None
    command = [arg.upper() for arg in args[:2]]
    if command == [b"CLIENT", b"TRACKING"]:
        return refuse(client, args, NO_TRACKING_INSIDE)
    if client.core.every_worker is not None and command in _ABOUT_ALL:
        return refuse(client, args, NO_OTHERS_INSIDE)
    problem = _rejection(args, treatment)
    if problem is not None:
        return _reject(client, problem)
    if args[0].upper() in (b"SUBSCRIBE", b"PSUBSCRIBE"):
        return refuse(client, args, NOT_INSIDE)
    if transaction.dead:
        return pretend(client, 1)
    if not transaction.has_room(raw):
        return refuse(client, args, TOO_MUCH)
    if not queue(client, _placeholder(args), 1):
        return False
    transaction.keep(raw)
    return True


def _rejection(args: list[bytes], treatment: Treatment) -> str | None:
    return pubsub.rejection(args) if treatment.rule is Rule.PUBSUB else local_commands.rejection(args)


def _placeholder(args: list[bytes]) -> bytes:
    """What is queued at Redis. HELLO changes how it writes the replies that come after it in EXEC's."""
    version = hello_version(args) if args[0].upper() == b"HELLO" else None
    return _PLACEHOLDER if version is None else encode_command("HELLO", version)


def _reject(client: Client, text: str) -> bool:
    """Answer with the error with which Redis refuses to queue a command; EXEC fails from then on."""
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead:
        if not client.route.barrier():
            return False
        client.output.error(text)
        return True
    if not client.acquirer.obtain(pinned=True):
        return False
    transaction.spoil()
    client.sender.one(Swallowed(client, lambda _: client.output.error(text)), SPOILER)
    return True
