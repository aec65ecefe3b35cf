"""What happens with each command that is not plain: one function for each rule of the command table.

Every function returns True when the command is dealt with, and False when it has to wait; then a reason to wait is set,
and the same command comes again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy.client.session import Skip
from redisproxy.client.waiting import Reason
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.handlers import (
    blocking,
    http_guard,
    large_commands,
    local_commands,
    monitor,
    noting,
    pubsub,
    scan,
    script_kill,
    select_database,
    single_use,
    tracking,
    transactions,
)
from redisproxy.handlers.command_names import full_name
from redisproxy.handlers.forward import forward

if TYPE_CHECKING:
    from redisproxy.client.client import Client

NOAUTH = "NOAUTH Authentication required."
_BEFORE_AUTH = frozenset({b"AUTH", b"HELLO", b"QUIT", b"RESET"})
_NOT_SENT = frozenset({Rule.LOCAL, Rule.REFUSED})

Handler = Callable[["Client", bytes, list[bytes], Treatment], bool]


def command(client: Client, raw: bytes, args: list[bytes]) -> bool:
    """Handle one complete command that framing has stopped at."""
    if http_guard.is_http(client, args):
        return http_guard.close(client)
    if not _skip_step(client, raw):
        return False
    if client.core.log_messages:
        client.log.info("client {id}: {name} ({size} bytes)", id=client.id, name=_shown(args[0]), size=len(raw))
    if _needs_auth(client, args):
        return client.route.barrier() and _answer_error(client, NOAUTH)
    treatment = client.core.table.treatment(args)
    client.identity.last_command = full_name(args)
    if not client.core.notes.on:
        return _handle(client, raw, args, treatment)
    client.sender.to_note = noting.to_note(client, args, treatment)
    try:
        return _handle(client, raw, args, treatment)
    finally:
        client.sender.to_note = ()


def _handle(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    session, stream = client.session, client.route.stream
    if isinstance(stream, monitor.Monitor):
        return stream.command(raw, args, treatment)
    if session.subscribed and not _may_as_subscriber(client, args, treatment):
        return _not_as_subscriber(client, raw, args, treatment)
    if session.transaction is not None:
        return transactions.within(client, raw, args, _inside(treatment))
    handler, alone = _HANDLERS[treatment.rule]
    if alone and not client.route.barrier():
        return False
    if session.tracking is not None and treatment.rule in _NOT_SENT and args[0].upper() != b"CLIENT":
        session.tracking.caching = b""  # it was for this command
    return handler(client, raw, args, treatment)


def large_command(client: Client, data: bytes, args: list[bytes]) -> bool:
    """Handle the beginning of a command that is too large to hold."""
    if http_guard.is_named_http(args):
        return http_guard.close(client)
    if not _skip_step(client, data):
        return False
    if _needs_auth(client, args):
        return client.route.barrier() and _answer_error(client, NOAUTH) and client.received.upload.discard()
    stream = client.route.stream
    if isinstance(stream, monitor.Monitor) and not stream.at_end_of_line():
        return False
    client.identity.last_command = full_name(args)
    treatment = client.core.table.treatment(args)
    client.sender.to_note = noting.to_note(client, args, treatment, whole=False) if client.core.notes.on else ()
    try:
        return large_commands.begin(client, data, args, treatment)
    finally:
        client.sender.to_note = ()


def _needs_auth(client: Client, args: list[bytes]) -> bool:
    return client.session.user is None and args[0].upper() not in _BEFORE_AUTH


def _shown(name: bytes) -> str:
    return name[:64].decode("ascii", "backslashreplace")


def _skip_step(client: Client, raw: bytes) -> bool:
    """CLIENT REPLY SKIP: mute the command that comes now, and end that when the one after it comes."""
    mode = client.session.reply_mode
    if mode.skip is Skip.NO or mode.skipped is raw:
        return True  # none, or this very command comes again after it had to wait
    if not client.route.barrier():
        return False
    mode.command_comes(raw)
    client.apply_framing()
    return True


def _forward(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    return forward(client, raw, 1)


def _script(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    client.core.scripts.see(args)
    if treatment.rule is Rule.EVAL:
        client.share.dedicate()
    return forward(client, raw, 1)


def _publish(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    if client.core.subscription_changes.hold(client.waiting):
        client.waiting.block(Reason.SUBSCRIPTION)
        return False
    return forward(client, raw, 1)


def _local(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    if tracking.handles(client, args):
        return tracking.command(client, raw, args)
    return local_commands.answer(client, args)


def _refused(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    client.refuse(args, treatment.error)
    return True


_ONLY_OUTSIDE = frozenset({Rule.APART, Rule.CLUSTER_STATE, Rule.MONITOR})


def _inside(treatment: Treatment) -> Treatment:
    """The treatment inside of MULTI, where nothing may change what the client's connection is."""
    if treatment.rule not in _ONLY_OUTSIDE:
        return treatment
    return Treatment(Rule.REFUSED, "ERR redisproxy does not run this command inside of MULTI")


_NOT_AS_SUBSCRIBER = _ONLY_OUTSIDE | {Rule.MULTI, Rule.WATCH, Rule.BLOCKING, Rule.WAIT}


def _may_as_subscriber(client: Client, args: list[bytes], treatment: Treatment) -> bool:
    name = args[0].upper()
    if client.session.resp_version == 2:
        return name in pubsub.IN_CONTEXT
    return treatment.rule not in _NOT_AS_SUBSCRIBER and name != b"HELLO"


def _not_as_subscriber(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    if client.session.resp_version == 2 and treatment.rule in large_commands.AS_THEY_ARE | {Rule.KILL}:
        return forward(client, raw, 1)  # the server refuses it with its own words, whatever is wrong with it
    problem = local_commands.rejection(args) if treatment.rule is Rule.LOCAL else None
    return client.route.barrier() and _answer_error(client, problem or pubsub.refusal(client, args))


def _answer_error(client: Client, text: str) -> bool:
    client.output.error(text)
    return True


_HANDLERS: dict[Rule, tuple[Handler, bool]] = {
    Rule.FORWARD: (_forward, False),
    Rule.SCRIPT: (_script, False),
    Rule.EVAL: (_script, False),
    Rule.SCAN: (scan.scan, False),
    Rule.PUBLISH: (_publish, False),
    Rule.LOCAL: (_local, True),
    Rule.REFUSED: (_refused, True),
    Rule.BLOCKING: (blocking.blocking, True),
    Rule.KILL: (script_kill.kill, True),
    Rule.APART: (single_use.apart, True),
    Rule.CLUSTER_STATE: (single_use.cluster_state, True),
    Rule.MONITOR: (monitor.begin, True),
    Rule.WAIT: (blocking.wait, True),
    Rule.SELECT: (select_database.select, True),
    Rule.MULTI: (transactions.multi, True),
    Rule.EXEC: (transactions.outside, True),
    Rule.DISCARD: (transactions.outside, True),
    Rule.WATCH: (transactions.watch, True),
    Rule.UNWATCH: (transactions.unwatch, True),
    Rule.PUBSUB: (pubsub.subscribe, True),
}
"""What handles a command of each rule, and whether every reply has to have come before."""
