"""Client-side caching: CLIENT TRACKING and CLIENT CACHING on a connection of the client's own.

The server sends invalidation messages between the replies of that connection; L{pubsub.Subscription} tells them apart.
Whenever the connection is replaced, tracking is on at the new one before anything else goes there, and the client is
told to forget whatever it has cached, so that it keeps no value whose invalidation it would never hear of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy.client import answers, tracking_options, transactions
from redisproxy.client.observers import Observed
from redisproxy.client.reasons import Reason
from redisproxy.client.tracking_options import NotSupported
from redisproxy.forwarding.collector import Collector

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol

OK = b"OK"
_NAMES = (b"TRACKING", b"CACHING", b"TRACKINGINFO")


def handles(client: ClientProtocol, args: list[bytes]) -> bool:
    """Whether a command that the proxy answers is one of those in here; TRACKINGINFO only while there is any."""
    if args[0].upper() != b"CLIENT" or len(args) < 2 or args[1].upper() not in _NAMES:
        return False
    return args[1].upper() != b"TRACKINGINFO" or (len(args) == 2 and client.session.tracking is not None)


def command(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    """Handle a command that L{handles} is true of. No reply is outstanding."""
    name = args[1].upper()
    if name != b"TRACKINGINFO" and (len(args) < 3 or (name == b"CACHING" and len(args) > 3)):
        client.error(answers.wrong_arity(f"client|{name.decode().lower()}"))
        return True
    if name == b"CACHING":
        _caching(client, args[2].upper())
        return True
    return _track(client, raw, args) if name == b"TRACKING" else _ask(client, raw, lambda _: None)


def _track(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    """Have the server check the options and begin, or end."""
    session = client.session
    try:
        wanted = tracking_options.asked_for(args[2:], session.tracking)
    except NotSupported as why:
        client.count_refused(args)
        client.error(str(why))
        return True

    def answered(head: bytes) -> None:
        if head.startswith(b"+OK"):
            client.route.was_tracked |= session.tracking is not None and wanted is None
            session.tracking = wanted
        client.route.settle_stream()

    return _ask(client, raw, answered)


def _ask(client: ClientProtocol, raw: bytes, on_done: Callable[[bytes], None]) -> bool:
    """Send one of these commands to the server, which does not take it for the one that CLIENT CACHING speaks of."""
    if not client.route.obtain(pinned=True):
        return False
    client.route.stream()
    client.send_alone(Observed(client, on_done), raw)
    client.block(Reason.REPLIES)
    return True


def _caching(client: ClientProtocol, mode: bytes) -> None:
    """Keep the mode until the next command, so that both go out together, wherever that is."""
    on = client.session.tracking
    problem = tracking_options.caching_problem(on, mode)
    if problem or on is None:
        client.error(problem)
        return
    on.caching = mode
    client.answer(answers.OK)


def send_caching(client: ClientProtocol) -> None:
    """Send the CLIENT CACHING that speaks of the command that is sent next on the connection that there is."""
    on, connection = client.session.tracking, client.route.connection
    if on is None or connection is None or not on.caching:
        return
    data, on.caching = on.caching_command(), b""

    def answered(replies: list[object] | None) -> None:
        if replies is not None and replies != [OK]:
            client.drop("uplink_lost")  # the client counts on it, and the reply of its command is on its way

    connection.submit_own(Collector(1, answered), data, 1)


def mode_of(client: ClientProtocol) -> bytes:
    """What CLIENT CACHING has said of the next command; empty if nothing."""
    on = client.session.tracking
    return b"" if on is None else on.caching


def say_again(client: ClientProtocol, mode: bytes) -> None:
    """Have it said again of a command that is sent again."""
    on = client.session.tracking
    if on is not None and mode:
        on.caching = mode


# -- another connection


def to_restore(client: ClientProtocol) -> bool:
    """Whether tracking, or a transaction, has to be made again before the next command."""
    on = client.session.tracking
    return (on is not None and on.lost) or transactions.to_restore(client)


def restore(client: ClientProtocol, on_done: Callable[[], None]) -> bool:
    """Make lost tracking again on the client's new connection, and then a lost transaction.

    Only while the gate is open.

    @param on_done: called when the server has answered. A client is dropped when the server refuses.
    @return: whether there is anything to wait for.
    """
    on, connection = client.session.tracking, client.route.connection
    if on is None or connection is None:
        return transactions.restore(client, on_done)
    client.route.stream()
    if not on.lost:
        return transactions.restore(client, on_done)
    commands = on.commands()

    def answered(replies: list[object] | None) -> None:
        if replies is not None:
            if replies != [OK] * len(commands):
                client.drop("uplink_lost")
            on.lost = False
        if not client.closed and not queued:
            on_done()

    client.core.gate.admit(len(commands))
    connection.submit(Collector(len(commands), answered), b"".join(commands), len(commands))
    queued = transactions.restore(client, on_done)
    return True
