"""The commands that the proxy answers itself: AUTH, RESET, QUIT, ACL WHOAMI; more in C{hello} and C{client_command}.

Texts and formats are Redis 7's own (src/acl.c, src/networking.c). None of these commands is ever forwarded, so
no password of a client reaches Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.output import OK
from redisproxy.client.session import DEFAULT_USER, Skip
from redisproxy.handlers import client_command
from redisproxy.handlers.hello import hello
from redisproxy.handlers.login import WRONGPASS, close_guesser, login

if TYPE_CHECKING:
    from redisproxy.client.client import Client

NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user."
    " Are you sure your configuration is correct?"
)


def answer(client: Client, args: list[bytes]) -> bool:
    """Answer the command in `args`. No reply may be outstanding. False when it has to wait for the uplink."""
    problem = rejection(args)
    if problem is not None:
        client.output.error(problem)
        return True
    return _ANSWERS[args[0].upper()](client, args)


def rejection(args: list[bytes]) -> str | None:
    """The error with which Redis refuses to run the command in `args`, or to queue it, before it looks at the rest."""
    name = args[0].upper()
    if name == b"CLIENT":
        return client_command.rejection(args)
    shown, least, most = _ARITY.get(name, ("", 1, client_command.ANY))
    return None if least <= len(args) <= most else wrong_arity(shown)


def wrong_arity(name: str) -> str:
    """Redis's error for a wrong number of arguments."""
    return f"ERR wrong number of arguments for '{name}' command"


def _auth(client: Client, args: list[bytes]) -> bool:
    if len(args) > 3:
        client.output.error("ERR syntax error")
    elif len(args) == 2 and not client.auth.required:
        client.output.error(NO_PASSWORD)
    else:
        user = args[1] if len(args) == 3 else DEFAULT_USER
        if login(client, user, args[-1]):
            client.output.answer(OK)
        else:
            client.output.error(WRONGPASS)
            close_guesser(client)
    return True


def _reset(client: Client, args: list[bytes]) -> bool:
    client.route.leave_quietly()
    skipped = client.session.reply_mode.skip is Skip.NOW
    client.session.reset()
    client.core.maintenance.forget(client)
    if skipped:  # RESET ends REPLY OFF, but a SKIP before it still means its own reply
        client.session.reply_mode.skip_now()
    client.session.user = None if client.auth.required else DEFAULT_USER
    client.apply_framing()
    client.output.answer(b"+RESET\r\n")
    return True


def _quit(client: Client, args: list[bytes]) -> bool:
    client.output.answer(OK)
    client.closing.close()
    return True


def _acl(client: Client, args: list[bytes]) -> bool:
    client.output.answer(resp.bulk(client.session.user or DEFAULT_USER))
    return True


_ARITY = {
    b"AUTH": ("auth", 2, client_command.ANY),
    b"RESET": ("reset", 1, 1),
    b"ACL": ("acl|whoami", 2, 2),
}
_ANSWERS: dict[bytes, Callable[[Client, list[bytes]], bool]] = {
    b"AUTH": _auth,
    b"HELLO": hello,
    b"RESET": _reset,
    b"QUIT": _quit,
    b"ACL": _acl,
    b"CLIENT": client_command.answer,
}
