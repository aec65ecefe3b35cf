"""Client-side caching: CLIENT TRACKING and CLIENT CACHING on a connection of the client's own.

The server sends invalidation messages between the replies of that connection; C{subscription} tells them apart.
Whenever the connection is replaced, tracking is on at the new one before anything else goes there (C{recovery}), and
the client is told to forget whatever it has cached, so that it keeps no value of whose invalidation it never hears.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy.client import tracking_options
from redisproxy.client.output import OK
from redisproxy.client.tracking_options import NotSupported
from redisproxy.client.waiting import Reason
from redisproxy.handlers.local_commands import wrong_arity
from redisproxy.handlers.reply_sinks import Observed
from redisproxy.handlers.subscription import settle_stream, stream_of

if TYPE_CHECKING:
    from redisproxy.client.client import Client

_NAMES = (b"TRACKING", b"CACHING", b"TRACKINGINFO")


def handles(client: Client, args: list[bytes]) -> bool:
    """Whether a command that the proxy answers is one of those in here; TRACKINGINFO only while there is any."""
    if args[0].upper() != b"CLIENT" or len(args) < 2 or args[1].upper() not in _NAMES:
        return False
    return args[1].upper() != b"TRACKINGINFO" or (len(args) == 2 and client.session.tracking is not None)


def command(client: Client, raw: bytes, args: list[bytes]) -> bool:
    """Handle a command that L{handles} is true of. No reply is outstanding."""
    name = args[1].upper()
    if name != b"TRACKINGINFO" and (len(args) < 3 or (name == b"CACHING" and len(args) > 3)):
        client.output.error(wrong_arity(f"client|{name.decode().lower()}"))
        return True
    if name == b"CACHING":
        _caching(client, args[2].upper())
        return True
    return _track(client, raw, args) if name == b"TRACKING" else _ask(client, raw, lambda _: None)


def _track(client: Client, raw: bytes, args: list[bytes]) -> bool:
    """Have the server check the options and begin, or end."""
    session = client.session
    try:
        wanted = tracking_options.asked_for(args[2:], session.tracking)
    except NotSupported as why:
        client.refuse(args, str(why))
        return True

    def answered(head: bytes) -> None:
        if head.startswith(b"+OK"):
            client.route.was_tracked |= session.tracking is not None and wanted is None
            session.tracking = wanted
        settle_stream(client)

    return _ask(client, raw, answered)


def _ask(client: Client, raw: bytes, on_done: Callable[[bytes], None]) -> bool:
    """Send one of these commands to the server, which does not take it for the one that CLIENT CACHING speaks of."""
    if not client.acquirer.obtain(pinned=True):
        return False
    stream_of(client)
    client.sender.before_caching(Observed(client, on_done), raw)
    client.waiting.block(Reason.REPLIES)
    return True


def _caching(client: Client, mode: bytes) -> None:
    """Keep the mode until the next command, so that both go out together, wherever that is."""
    on = client.session.tracking
    problem = tracking_options.caching_problem(on, mode)
    if problem or on is None:
        client.output.error(problem)
        return
    on.caching = mode
    client.output.answer(OK)
