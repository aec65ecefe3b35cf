"""Commands that are queued inside of MULTI: at Redis, or in its place by what is put there for the session's own.

A command that the proxy answers itself is queued as a placeholder that changes nothing. L{Merged} answers it when
EXEC's reply brings the placeholder's. What Redis refuses to queue it refuses here, too, with the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client import answers, pubsub
from redisproxy.client.observers import Swallowed
from redisproxy.client.session import SPOILER
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.resp import encode_command

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol

QUEUED = b"+QUEUED\r\n"
AS_THEY_ARE = frozenset({Rule.FORWARD, Rule.BLOCKING, Rule.SCRIPT, Rule.EVAL, Rule.SCAN, Rule.PUBLISH})
"""Commands that may reach the server as they arrive: too large to hold, or for the server to refuse."""
TOO_MUCH = (
    "ERR too many commands inside of MULTI that the proxy answers itself (limits.max_transaction_commands, _bytes)"
)
NOT_INSIDE = "ERR redisproxy does not subscribe inside of MULTI; send the command before MULTI or after EXEC"
NO_TRACKING_INSIDE = "ERR redisproxy does not change CLIENT TRACKING inside of MULTI; send it before or after"
_PLACEHOLDER = encode_command("PING")


def queue(client: ClientProtocol, data: bytes, count: int) -> bool:
    """Queue `count` commands at Redis and remember them."""
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead:
        return pretend(client, count)
    if not client.route.obtain(pinned=True):
        return False
    transaction.remember(data, count)
    client.send_plain(data, count)
    return True


def pretend(client: ClientProtocol, count: int) -> bool:
    """Answer that `count` commands are queued; EXEC fails anyway."""
    if not client.barrier():
        return False
    client.answer(QUEUED * count)
    return True


def large(client: ClientProtocol, data: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Queue a command that is too large to hold, and so to remember."""
    transaction = client.session.transaction
    assert transaction is not None
    if treatment.rule not in AS_THEY_ARE:
        return refuse(client, args, treatment.error or "ERR the command is too large") and client.large.discard()
    if transaction.dead:
        return pretend(client, 1) and client.large.discard()
    if not client.route.obtain(pinned=True):
        return False
    transaction.remember(b"", 1)
    transaction.forget()
    client.large.begin(data, timed=True)
    return True


def refuse(client: ClientProtocol, args: list[bytes], text: str) -> bool:
    """A command that the proxy does not queue: as Redis does, answer with the error and let EXEC fail."""
    if not _reject(client, text):
        return False
    client.count_refused(args)
    return True


def kill(client: ClientProtocol) -> None:
    """Give the transaction up: what Redis has queued goes away with the connection. No reply is outstanding."""
    transaction = client.session.transaction
    if transaction is not None:
        transaction.dead = True
        client.session.unwatch()
        client.route.discard()


def of_tracking(client: ClientProtocol, args: list[bytes]) -> bool:
    """Whether the server itself answers a command about CLIENT TRACKING, which is on at the client's connection."""
    name = args[1].upper() if len(args) > 1 and args[0].upper() == b"CLIENT" else b""
    return name == b"CACHING" or (name == b"TRACKINGINFO" and client.session.tracking is not None)


# -- commands that the proxy answers


def own(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Queue a command that the proxy answers itself."""
    transaction = client.session.transaction
    assert transaction is not None
    if [arg.upper() for arg in args[:2]] == [b"CLIENT", b"TRACKING"]:
        return refuse(client, args, NO_TRACKING_INSIDE)
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
    return pubsub.rejection(args) if treatment.rule is Rule.PUBSUB else answers.rejection(args)


def _placeholder(args: list[bytes]) -> bytes:
    """What is queued at Redis. HELLO changes how it writes the replies that come after it in EXEC's."""
    version = answers.hello_version(args) if args[0].upper() == b"HELLO" else None
    return _PLACEHOLDER if version is None else encode_command("HELLO", version)


def _reject(client: ClientProtocol, text: str) -> bool:
    """Answer with the error with which Redis refuses to queue a command; EXEC fails from then on."""
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead:
        if not client.barrier():
            return False
        client.error(text)
        return True
    if not client.route.obtain(pinned=True):
        return False
    transaction.spoil()
    client.submit(Swallowed(client, lambda _: client.error(text)), SPOILER)
    return True
