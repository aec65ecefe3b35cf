"""MULTI, EXEC, DISCARD, WATCH and UNWATCH, and what happens to every other command inside of a MULTI.

State follows Redis's replies. An open MULTI and a WATCH hold a pinned connection. When that is lost, a MULTI is queued
again elsewhere from what was remembered (nothing of it has run), and after a WATCH the next EXEC answers nil.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redisproxy.client import answers, queued
from redisproxy.client.merged import Merged
from redisproxy.client.observers import Observed, Swallowed
from redisproxy.client.queued import kill, queue
from redisproxy.client.reasons import Reason
from redisproxy.client.session import EXECABORT, Transaction
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.forwarding.collector import Collector
from redisproxy.resp import COMMAND, RUN, ProtocolError, RespError, encode_command, error
from redisproxy.shared import scan_cursors

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol

_NOT_NESTED = {Rule.MULTI: "ERR MULTI calls can not be nested", Rule.WATCH: "ERR WATCH inside MULTI is not allowed"}
_EXEC_REJECTED = "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
_WHOLE_INSIDE = frozenset({Rule.FORWARD, Rule.BLOCKING, Rule.SCRIPT, Rule.EVAL, Rule.PUBLISH})


# -- outside of a transaction


def multi(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Begin a transaction; one that has arrived whole and depends on nothing goes out in one piece."""
    if len(args) == 1 and _may_go_whole(client) and _collect(client, raw):
        return _forward_collected(client)
    if not client.route.obtain(pinned=True):
        return False
    tracking = client.session.tracking
    caching = b"" if tracking is None else tracking.caching_command()
    client.submit(Observed(client, lambda head: _begun(client, head, caching)), raw)
    client.block(Reason.REPLIES)
    return True


def _may_go_whole(client: ClientProtocol) -> bool:
    session = client.session
    pinned = client.route.pinned and not client.share.dedicated
    return client.core.multiplex and not pinned and not session.special and not session.muted


def _collect(client: ClientProtocol, raw: bytes) -> bool:
    """Take the units up to EXEC. When they are there and plain, they replace the MULTI that is being handled."""
    chunks, count, taken = [raw], 1, []
    while (unit := _next(client)) is not None:
        taken.append(unit)
        kind, data, extra = unit
        rule = Rule.FORWARD if kind == RUN else client.core.table.treatment(extra).rule if kind == COMMAND else None
        if rule in (Rule.SCRIPT, Rule.EVAL):
            client.core.scripts.see(extra)
        if rule is Rule.EVAL:
            client.share.dedicate()
        chunks.append(data)
        count += extra if kind == RUN else 1
        if rule is Rule.EXEC:
            client.last_command = b"exec"
            client.intake.current = (RUN, b"".join(chunks), count)
            return True
        if rule not in _WHOLE_INSIDE:
            break
    client.intake.park(taken)
    return False


def _next(client: ClientProtocol) -> tuple[int, bytes, Any] | None:
    try:
        return client.intake.next()
    except ProtocolError:
        return None  # framing raises it again once what came before it has been handled


def _forward_collected(client: ClientProtocol) -> bool:
    unit = client.intake.current
    assert unit is not None
    return client.forward(unit[1], unit[2])


def _begun(client: ClientProtocol, head: bytes, caching: bytes) -> None:
    limits = client.core.limits
    if head.startswith(b"+OK"):
        client.session.begin(limits.max_transaction_commands, limits.max_transaction_bytes).caching = caching
    client.route.settle()


def begin_dead(client: ClientProtocol) -> None:
    """Answer MULTI with OK although nothing can be queued: EXEC fails."""
    limits = client.core.limits
    client.session.begin(limits.max_transaction_commands, limits.max_transaction_bytes)
    client.answer(answers.OK)
    kill(client)


def unreachable(client: ClientProtocol, over: bool) -> None:
    """A command inside of MULTI can't be sent and gets an error: as with Redis, EXEC fails after that.

    @param over: it is one that ends the transaction.
    """
    kill(client)
    if over:
        client.session.end()


def ends(rule: Rule | None, args: list[bytes]) -> bool:
    """Whether a command inside of MULTI ends it. Redis rejects both with arguments, and ends it with an EXEC only."""
    return rule is Rule.EXEC or (rule is Rule.DISCARD and len(args) == 1)


def outside(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """EXEC or DISCARD without MULTI: Redis says so."""
    return client.forward(raw, 1)


def watch(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """WATCH holds a pinned connection from here on."""
    if not client.route.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"+OK"):
            client.session.watch(args[1:])
        client.route.settle()

    client.submit(Observed(client, done), raw)
    client.block(Reason.REPLIES)
    return True


def unwatch(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """End every WATCH; without one there is nothing to ask Redis for."""
    if not client.session.watching:
        client.session.unwatch()
        return client.forward(raw, 1)
    if not client.route.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"+OK"):
            client.session.unwatch()
        client.route.settle()

    client.submit(Observed(client, done), raw)
    client.block(Reason.REPLIES)
    return True


# -- inside of a transaction


def within(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle a command, one that framing has stopped at, inside of MULTI."""
    rule = treatment.rule
    if rule is Rule.LOCAL and _ends(args):
        return client.barrier() and answers.answer(client, args)
    if rule is Rule.LOCAL and queued.of_tracking(client, args):
        return queue(client, raw, 1)
    if rule in (Rule.LOCAL, Rule.PUBSUB):
        return queued.own(client, raw, args, treatment)
    if rule is Rule.REFUSED:
        return queued.refuse(client, args, treatment.error)
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
    return name == b"QUIT" or (name == b"RESET" and answers.rejection(args) is None)


def _scan(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    """A SCAN as any other command. The cursor in EXEC's reply is not marked, and so refused once there was a switch."""
    core = client.core
    sent = scan_cursors.incoming(args, core.server_number, core.lenient_cursors, core.cursor_marks)
    if sent is None:
        return queued.refuse(client, args, scan_cursors.STALE)
    return queue(client, raw if sent is args else encode_command(*sent), 1)


def _pass(client: ClientProtocol, raw: bytes, rule: Rule) -> bool:
    """MULTI or WATCH inside of MULTI: the server answers with an error and queues nothing."""
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead:
        return client.barrier() and _answer_error(client, _NOT_NESTED[rule])
    if not client.route.obtain(pinned=True):
        return False
    client.submit(Observed(client, lambda head: _not_nested(transaction, rule, head)), raw)
    return True


def _not_nested(transaction: Transaction, rule: Rule, head: bytes) -> None:
    """Valkey 9 and wrong arguments make EXEC fail, which is to stay so when the transaction is queued again."""
    if head != error(_NOT_NESTED[rule]):
        transaction.spoil()


def _answer_error(client: ClientProtocol, text: str) -> bool:
    client.error(text)
    return True


def _select(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    if not queue(client, raw, 1):
        return False
    assert client.session.transaction is not None
    client.session.transaction.selects = True
    return True


def _exec(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    session = client.session
    transaction = session.transaction
    assert transaction is not None
    if transaction.dead:
        return client.barrier() and _ended(client, error(EXECABORT if len(args) == 1 else _EXEC_REJECTED))
    if not client.route.obtain(pinned=True):
        return False
    if session.watch_lost:
        sink = Swallowed(client, lambda _: _lost_to_watch(client))
        client.submit(sink, encode_command("DISCARD"))
    elif transaction.selects:
        client.submit(_reply_of(client, transaction, lambda _: session.end()), raw)
        _learn_db(client)
        return True
    else:
        client.submit(_reply_of(client, transaction, lambda _: _end(client)), raw)
    client.block(Reason.REPLIES)
    return True


def _reply_of(client: ClientProtocol, transaction: Transaction, on_done: Callable[[bytes], None]) -> Observed:
    return Merged(client, transaction, on_done) if transaction.own else Observed(client, on_done)


def _ended(client: ClientProtocol, answer: bytes) -> bool:
    client.session.end()
    client.answer(answer)
    return True


def _end(client: ClientProtocol) -> None:
    client.session.end()
    client.route.settle()


def _lost_to_watch(client: ClientProtocol) -> None:
    _ended(client, client.session.exec_lost())
    client.route.settle()


def _discard(client: ClientProtocol, raw: bytes) -> bool:
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead or client.route.connection is None:
        return client.barrier() and _ended(client, answers.OK)
    if not client.route.obtain(pinned=True):
        return False
    client.submit(Observed(client, lambda _: _end(client)), raw)
    client.block(Reason.REPLIES)
    return True


def _learn_db(client: ClientProtocol) -> None:
    """A SELECT was among the queued commands: ask the connection itself which database it is on now."""
    connection = client.route.connection
    assert connection is not None

    def answered(replies: list[object] | None) -> None:
        db = None if replies is None else _db_of(replies[0])
        if db is None:
            client.drop("uplink_lost")
            return
        client.session.db = connection.db = db
        client.route.settle()
        client.unblock(Reason.UPLINK)

    # Counted, so that no switch comes between EXEC and this.
    client.core.gate.admit(1)
    connection.submit(Collector(1, answered), encode_command("CLIENT", "INFO"), 1)
    client.block(Reason.UPLINK)


def _db_of(info: object) -> int | None:
    if isinstance(info, bytes):
        for word in info.split():
            if word.startswith(b"db=") and word[3:].isdigit():
                return int(word[3:])
    return None


# -- after a connection was lost


def to_restore(client: ClientProtocol) -> bool:
    """Whether there is a transaction that has to be queued again."""
    transaction = client.session.transaction
    return transaction is not None and transaction.lost and not transaction.dead


def restore(client: ClientProtocol, on_done: Callable[[], None]) -> bool:
    """Queue a lost transaction again on the client's new connection; the QUEUED replies are swallowed.

    Only while the gate is open.

    @param on_done: called when Redis has answered; the transaction is dead then if anything was not queued.
    @return: whether there is anything to wait for.
    """
    transaction = client.session.transaction
    connection = client.route.connection
    if transaction is None or connection is None or not to_restore(client):
        return False
    data, count = transaction.replay()

    def answered(replies: list[object] | None) -> None:
        if replies is not None:
            transaction.lost = False
            if any(isinstance(reply, RespError) for reply in replies):
                kill(client)
        if not client.closed:
            on_done()

    # Counted, so that no server is fenced in the middle: it would refuse to queue writes.
    client.core.gate.admit(count)
    connection.submit(Collector(count, answered), data, count)
    return True
