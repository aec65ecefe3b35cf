"""MULTI, EXEC, DISCARD, WATCH and UNWATCH, and what happens to every other command inside of a MULTI.

State follows Redis's replies. An open MULTI and a WATCH hold a pinned connection. When that is lost, a MULTI is queued
again elsewhere from what was remembered (nothing of it has run), and after a WATCH the next EXEC answers nil.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy.client.open_transaction import EXECABORT, Transaction
from redisproxy.client.output import OK
from redisproxy.client.waiting import Reason
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.forwarding.collector import Collector
from redisproxy.handlers import local_commands, placeholders, whole_transaction
from redisproxy.handlers.exec_reply import ExecReply
from redisproxy.handlers.forward import forward, queue
from redisproxy.handlers.placeholders import give_up
from redisproxy.handlers.reply_sinks import Observed, Swallowed
from redisproxy.resp import encode_command, error
from redisproxy.shared import scan_cursors

if TYPE_CHECKING:
    from redisproxy.client.client import Client

_NOT_NESTED = {Rule.MULTI: "ERR MULTI calls can not be nested", Rule.WATCH: "ERR WATCH inside MULTI is not allowed"}
_EXEC_REJECTED = "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"


# -- outside of a transaction


def multi(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Begin a transaction; one that has arrived whole and depends on nothing goes out in one piece."""
    if len(args) == 1 and whole_transaction.may_go_whole(client) and whole_transaction.collect(client, raw):
        return whole_transaction.send(client)
    if not client.acquirer.obtain(pinned=True):
        return False
    tracking = client.session.tracking
    caching = b"" if tracking is None else tracking.caching_command()
    client.sender.one(Observed(client, lambda head: _begun(client, head, caching)), raw)
    client.waiting.block(Reason.REPLIES)
    return True


def _begun(client: Client, head: bytes, caching: bytes) -> None:
    limits = client.core.limits
    if head.startswith(b"+OK"):
        client.session.begin(limits.max_transaction_commands, limits.max_transaction_bytes).caching = caching
    client.route.settle()


def begin_dead(client: Client) -> None:
    """Answer MULTI with OK although nothing can be queued: EXEC fails."""
    limits = client.core.limits
    client.session.begin(limits.max_transaction_commands, limits.max_transaction_bytes)
    client.output.answer(OK)
    give_up(client)


def unreachable(client: Client, over: bool) -> None:
    """A command inside of MULTI can't be sent and gets an error: as with Redis, EXEC fails after that.

    @param over: it is one that ends the transaction.
    """
    give_up(client)
    if over:
        client.session.end()


def ends(rule: Rule | None, args: list[bytes]) -> bool:
    """Whether a command inside of MULTI ends it. Redis rejects both with arguments, and ends it with an EXEC only."""
    return rule is Rule.EXEC or (rule is Rule.DISCARD and len(args) == 1)


def outside(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """EXEC or DISCARD without MULTI: Redis says so."""
    return forward(client, raw, 1)


def watch(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """WATCH holds a pinned connection from here on."""
    if not client.acquirer.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"+OK"):
            client.session.watch(args[1:])
        client.route.settle()

    client.sender.one(Observed(client, done), raw)
    client.waiting.block(Reason.REPLIES)
    return True


def unwatch(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """End every WATCH; without one there is nothing to ask Redis for."""
    if not client.session.watching:
        client.session.unwatch()
        return forward(client, raw, 1)
    if not client.acquirer.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"+OK"):
            client.session.unwatch()
        client.route.settle()

    client.sender.one(Observed(client, done), raw)
    client.waiting.block(Reason.REPLIES)
    return True


# -- inside of a transaction


def within(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle a command, one that framing has stopped at, inside of MULTI."""
    rule = treatment.rule
    if rule is Rule.LOCAL and _ends(args):
        return client.route.barrier() and local_commands.answer(client, args)
    if rule is Rule.LOCAL and placeholders.of_tracking(client, args):
        return queue(client, raw, 1)
    if rule in (Rule.LOCAL, Rule.PUBSUB):
        return placeholders.own(client, raw, args, treatment)
    if rule is Rule.REFUSED:
        return placeholders.refuse(client, args, treatment.error)
    if ends(rule, args):
        return _exec(client, raw, args) if rule is Rule.EXEC else _discard(client, raw)
    if rule in (Rule.MULTI, Rule.WATCH):
        return _pass(client, raw, rule)
    if rule is Rule.SELECT:
        return _select(client, raw, args)
    if rule in (Rule.SCRIPT, Rule.EVAL):
        client.core.scripts.see(args)
    if rule is Rule.SCAN:
        return _scan(client, raw, args)
    return queue(client, raw, 1)


def _ends(args: list[bytes]) -> bool:
    """Whether this is QUIT or RESET, which Redis runs at once and which end the transaction."""
    name = args[0].upper()
    return name == b"QUIT" or (name == b"RESET" and local_commands.rejection(args) is None)


def _scan(client: Client, raw: bytes, args: list[bytes]) -> bool:
    """A SCAN as any other command. The cursor in EXEC's reply is not marked, and so refused once there was a switch."""
    sent = client.core.cursors.incoming(args)
    if sent is None:
        return placeholders.refuse(client, args, scan_cursors.STALE)
    return queue(client, raw if sent is args else encode_command(*sent), 1)


def _pass(client: Client, raw: bytes, rule: Rule) -> bool:
    """MULTI or WATCH inside of MULTI: the server answers with an error and queues nothing."""
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead:
        return client.route.barrier() and _answer_error(client, _NOT_NESTED[rule])
    if not client.acquirer.obtain(pinned=True):
        return False
    client.sender.one(Observed(client, lambda head: _not_nested(transaction, rule, head)), raw)
    return True


def _not_nested(transaction: Transaction, rule: Rule, head: bytes) -> None:
    """Valkey 9 and wrong arguments make EXEC fail, which is to stay so when the transaction is queued again."""
    if head != error(_NOT_NESTED[rule]):
        transaction.spoil()


def _answer_error(client: Client, text: str) -> bool:
    client.output.error(text)
    return True


def _select(client: Client, raw: bytes, args: list[bytes]) -> bool:
    if not queue(client, raw, 1):
        return False
    assert client.session.transaction is not None
    client.session.transaction.selects = True
    return True


def _exec(client: Client, raw: bytes, args: list[bytes]) -> bool:
    session = client.session
    transaction = session.transaction
    assert transaction is not None
    if transaction.dead:
        return client.route.barrier() and _ended(client, error(EXECABORT if len(args) == 1 else _EXEC_REJECTED))
    if not client.acquirer.obtain(pinned=True):
        return False
    if session.watch_lost:
        sink = Swallowed(client, lambda _: _lost_to_watch(client))
        client.sender.one(sink, encode_command("DISCARD"))
    elif transaction.selects:
        client.sender.one(_reply_of(client, transaction, lambda _: session.end()), raw)
        _learn_db(client)
        return True
    else:
        client.sender.one(_reply_of(client, transaction, lambda _: _end(client)), raw)
    client.waiting.block(Reason.REPLIES)
    return True


def _reply_of(client: Client, transaction: Transaction, on_done: Callable[[bytes], None]) -> Observed:
    return ExecReply(client, transaction, on_done) if transaction.own else Observed(client, on_done)


def _ended(client: Client, answer: bytes) -> bool:
    client.session.end()
    client.output.answer(answer)
    return True


def _end(client: Client) -> None:
    client.session.end()
    client.route.settle()


def _lost_to_watch(client: Client) -> None:
    _ended(client, client.session.exec_lost())
    client.route.settle()


def _discard(client: Client, raw: bytes) -> bool:
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead or client.route.connection is None:
        return client.route.barrier() and _ended(client, OK)
    if not client.acquirer.obtain(pinned=True):
        return False
    client.sender.one(Observed(client, lambda _: _end(client)), raw)
    client.waiting.block(Reason.REPLIES)
    return True


def _learn_db(client: Client) -> None:
    """A SELECT was among the queued commands: ask the connection itself which database it is on now."""
    connection = client.route.connection
    assert connection is not None

    def answered(replies: list[object] | None) -> None:
        db = None if replies is None else _db_of(replies[0])
        if db is None:
            client.closing.drop("uplink_lost")
            return
        client.session.db = connection.db = db
        client.route.settle()
        client.waiting.unblock(Reason.UPLINK)

    # Counted, so that no switch comes between EXEC and this.
    client.core.gate.admit(1)
    connection.submit(Collector(1, answered), encode_command("CLIENT", "INFO"), 1)
    client.waiting.block(Reason.UPLINK)


def _db_of(info: object) -> int | None:
    if isinstance(info, bytes):
        for word in info.split():
            if word.startswith(b"db=") and word[3:].isdigit():
                return int(word[3:])
    return None
