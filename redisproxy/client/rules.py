"""What happens with each command that is not plain: one function for each rule of the command table.

Every function returns True when the command is dealt with, and False when it has to wait; then a reason to wait is set,
and the same command comes again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redisproxy.client import answers, blocking, monitor, pubsub, queued, security, tracking, transactions, urgent
from redisproxy.client.containers import full_name
from redisproxy.client.observers import Marked, Observed, Swallowed
from redisproxy.client.reasons import Reason
from redisproxy.client.session import Skip
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.resp import BEGIN, COMMAND, RUN, encode_command, error
from redisproxy.shared import scan_cursors

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol

NOAUTH = "NOAUTH Authentication required."
TOO_LARGE = "ERR the command is too large for the proxy to handle (limits.max_held_request_bytes)"
_BEFORE_AUTH = frozenset({b"AUTH", b"HELLO", b"QUIT", b"RESET"})
_INTEGER = re.compile(rb"-?(0|[1-9][0-9]*)\Z")

_NOT_SENT = frozenset({Rule.LOCAL, Rule.REFUSED})

Handler = Callable[["ClientProtocol", bytes, list[bytes], Treatment], bool]


def command(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    """Handle one complete command that framing has stopped at."""
    if security.is_http(client, args):
        return security.close(client)
    if not _skip_step(client, raw):
        return False
    core, session = client.core, client.session
    if core.log_messages:
        client.log.info("client {id}: {name} ({size} bytes)", id=client.id, name=_shown(args[0]), size=len(raw))
    treatment = core.table.treatment(args)
    if _needs_auth(client, args):
        return client.barrier() and _answer_error(client, NOAUTH)
    client.last_command = full_name(args)
    if isinstance(client.subscription, monitor.Monitor):
        return client.subscription.command(raw, args, treatment)
    if session.subscribed and not _may_as_subscriber(client, args, treatment):
        return _not_as_subscriber(client, raw, args, treatment)
    if session.transaction is not None:
        return transactions.within(client, raw, args, _inside(treatment))
    if treatment.rule is Rule.FORWARD:
        return client.forward(raw, 1)
    if treatment.rule in (Rule.SCRIPT, Rule.EVAL):
        core.scripts.see(args)
        if treatment.rule is Rule.EVAL:
            client.share.dedicate()
        return client.forward(raw, 1)
    if treatment.rule is Rule.SCAN:
        return _scan(client, raw, args)
    if treatment.rule is Rule.PUBLISH:
        return _publish(client, raw)
    if not client.barrier():
        return False
    if session.tracking is not None and treatment.rule in _NOT_SENT and args[0].upper() != b"CLIENT":
        session.tracking.caching = b""  # it was for this command
    return _HANDLERS[treatment.rule](client, raw, args, treatment)


def _needs_auth(client: ClientProtocol, args: list[bytes]) -> bool:
    return client.session.user is None and args[0].upper() not in _BEFORE_AUTH


def _shown(name: bytes) -> str:
    return name[:64].decode("ascii", "backslashreplace")


def _skip_step(client: ClientProtocol, raw: bytes) -> bool:
    """CLIENT REPLY SKIP: mute the command that comes now, and end that when the one after it comes."""
    session = client.session
    if session.skip is Skip.NO or session.skipped is raw:
        return True  # none, or this very command comes again after it had to wait
    if not client.barrier():
        return False
    now = session.skip is Skip.NEXT
    session.muted = now
    session.skip = Skip.NOW if now else Skip.NO
    session.skipped = raw if now else None
    client.apply_framing()
    return True


def large(client: ClientProtocol, data: bytes, args: list[bytes]) -> bool:
    """Handle the beginning of a command that is too large to hold."""
    if security.is_named_http(args):
        return security.close(client)
    if not _skip_step(client, data):
        return False
    if _needs_auth(client, args):
        return client.barrier() and _answer_error(client, NOAUTH) and client.large.discard()
    if isinstance(client.subscription, monitor.Monitor) and not client.subscription.at_end_of_line():
        return False
    client.last_command = full_name(args)
    treatment = client.core.table.treatment(args)
    if client.session.transaction is not None:
        return queued.large(client, data, args, treatment)
    if treatment.rule in queued.AS_THEY_ARE:
        if not client.route.obtain(pinned=True):
            return False
        client.large.begin(data, timed=treatment.rule is not Rule.BLOCKING)
        return True
    if not client.barrier():
        return False
    return refuse_large(client, args, treatment)


def refuse_large(client: ClientProtocol, args: list[bytes], treatment: Treatment) -> bool:
    """Answer a large command with an error and throw its rest away."""
    client.count_refused(args)
    client.error(treatment.error or TOO_LARGE)
    return client.large.discard()


def unreachable(client: ClientProtocol, unit: tuple[int, bytes, Any], text: str, refused: bool) -> None:
    """Answer a unit for which there is no connection with the error `text`, so that nothing half done can follow.

    A client may have sent more without waiting, and the server may be back by then. Redis never fails MULTI and SELECT
    for such a reason, so they are taken: EXEC fails then, and commands wait for the database.

    @param refused: it is the database that the server refuses.
    """
    kind, _, extra = unit
    session = client.session
    rule = client.core.table.treatment(extra).rule if kind == COMMAND else None
    if session.transaction is not None:
        transactions.unreachable(client, kind == COMMAND and transactions.ends(rule, extra))
        _answer_all(client, kind, extra, text)
    elif rule is Rule.MULTI:
        transactions.begin_dead(client)
    elif rule is Rule.SELECT and not refused:
        client.route.forget_shared()
        session.db = int(extra[1])
        client.answer(answers.OK)
    else:
        _answer_all(client, kind, extra, text)


def _answer_all(client: ClientProtocol, kind: int, extra: Any, text: str) -> None:
    if kind == RUN:
        client.answer(error(text) * extra)
        return
    client.error(text)
    if kind == BEGIN:
        client.large.discard()


def _local(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    if tracking.handles(client, args):
        return tracking.command(client, raw, args)
    return answers.answer(client, args)


def _refused(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    client.count_refused(args)
    client.error(treatment.error)
    return True


def _apart(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    if not client.route.obtain(pinned=True):
        return False
    client.submit(Observed(client, lambda _: client.route.leave()), raw)
    client.block(Reason.REPLIES)
    return True


def _cluster_state(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """ASKING, READONLY, READWRITE: a server without cluster support answers with an error, and nothing has changed.

    Where it has changed something, the connection is closed, and the client is told that this is not supported.
    """
    if not client.route.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"-") and head.endswith(b"\n"):
            client.answer(head)
            client.route.settle()
            return
        client.route.leave()
        _refused(client, raw, args, treatment)

    client.submit(Swallowed(client, done), raw)
    client.block(Reason.REPLIES)
    return True


_ONLY_OUTSIDE = frozenset({Rule.APART, Rule.CLUSTER_STATE, Rule.MONITOR})


def _inside(treatment: Treatment) -> Treatment:
    """The treatment inside of MULTI, where nothing may change what the client's connection is."""
    if treatment.rule not in _ONLY_OUTSIDE:
        return treatment
    return Treatment(Rule.REFUSED, "ERR redisproxy does not run this command inside of MULTI")


def _select(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    session = client.session
    if len(args) != 2:
        client.error("ERR wrong number of arguments for 'select' command")
        return True
    if not _INTEGER.match(args[1]) or len(args[1]) > 10:
        client.error("ERR value is not an integer or out of range")
        return True
    db = int(args[1])
    if db < 0:
        client.error("ERR DB index is out of range")
        return True
    if client.route.pinned or session.bound or not client.core.multiplex:
        return _select_pinned(client, raw, db)
    return _select_shared(client, db)


def _select_shared(client: ClientProtocol, db: int) -> bool:
    """Look whether the uplink has the database: a connection can be had for it, or not."""
    session = client.session
    key = (db, session.resp_version)
    if db != session.db:
        connection = client.core.uplinks.shared(key)
        if connection is None:
            client.route.acquire(False, key)
            return False
        client.route.connection = connection
        session.db = db
    client.answer(answers.OK)
    return True


def _select_pinned(client: ClientProtocol, raw: bytes, db: int) -> bool:
    if not client.route.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"+OK") and client.route.connection is not None:
            client.session.db = client.route.connection.db = db
            if client.session.watching:
                client.session.watched = None

    client.submit(Observed(client, done), raw)
    client.block(Reason.REPLIES)
    return True


_NOT_AS_SUBSCRIBER = _ONLY_OUTSIDE | {Rule.MULTI, Rule.WATCH, Rule.BLOCKING, Rule.WAIT}


def _may_as_subscriber(client: ClientProtocol, args: list[bytes], treatment: Treatment) -> bool:
    name = args[0].upper()
    if client.session.resp_version == 2:
        return name in pubsub.IN_CONTEXT
    return treatment.rule not in _NOT_AS_SUBSCRIBER and name != b"HELLO"


def _not_as_subscriber(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    if client.session.resp_version == 2 and treatment.rule in queued.AS_THEY_ARE | {Rule.KILL}:
        return client.forward(raw, 1)  # the server refuses it with its own words, whatever is wrong with it
    problem = answers.rejection(args) if treatment.rule is Rule.LOCAL else None
    return client.barrier() and _answer_error(client, problem or pubsub.refusal(client, args))


def _publish(client: ClientProtocol, raw: bytes) -> bool:
    if client.core.changes.hold(client):
        client.block(Reason.SUBSCRIPTION)
        return False
    return client.forward(raw, 1)


def _scan(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    """Pass a SCAN on, with cursors that tell whose they are."""
    core = client.core
    sent = scan_cursors.incoming(args, core.server_number, core.lenient_cursors, core.cursor_marks)
    if sent is None:
        return client.barrier() and _answer_error(client, scan_cursors.STALE)
    if core.lenient_cursors:
        return client.forward(raw if sent is args else encode_command(*sent), 1)
    if not client.route.obtain(pinned=client.session.bound):
        return False
    client.submit(Marked(client), raw if sent is args else encode_command(*sent))
    return True


def _answer_error(client: ClientProtocol, text: str) -> bool:
    client.error(text)
    return True


_HANDLERS: dict[Rule, Handler] = {
    Rule.LOCAL: _local,
    Rule.REFUSED: _refused,
    Rule.BLOCKING: blocking.blocking,
    Rule.KILL: urgent.kill,
    Rule.APART: _apart,
    Rule.CLUSTER_STATE: _cluster_state,
    Rule.MONITOR: monitor.begin,
    Rule.WAIT: blocking.wait,
    Rule.SELECT: _select,
    Rule.MULTI: transactions.multi,
    Rule.EXEC: transactions.outside,
    Rule.DISCARD: transactions.outside,
    Rule.WATCH: transactions.watch,
    Rule.UNWATCH: transactions.unwatch,
    Rule.PUBSUB: pubsub.subscribe,
}
