"""CLIENT KILL (https://redis.io/docs/latest/commands/client-kill/): closes clients of the proxy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.output import OK
from redisproxy.handlers.client_filters import Problem, matches, matching, number, of_type
from redisproxy.handlers.waiting_for_workers import reply_later
from redisproxy.shared.every_worker import ClientFilter

if TYPE_CHECKING:
    from redisproxy.client.client import Client


def kill(client: Client, args: list[bytes]) -> bytes:
    by_address = len(args) == 1
    if by_address:
        which, skip_me = ClientFilter(address=args[0].decode("latin-1")), False
    else:
        which, skip_me = _wanted(args)

    def killed(count: int) -> bytes:
        """Close the client, too, if it is meant; the reply."""
        itself = not skip_me and matches(client, which, client.core.clock.seconds())
        count += itself
        if not count:
            _complain(client, which, by_address)
        reply = OK if by_address else resp.integer(count)
        return _closed_with(client, reply) if itself else reply

    every = client.core.every_worker
    if every is not None:
        return reply_later(client, every.kill(which, client.id), killed)
    return killed(_close_others(client, which))


def _close_others(client: Client, which: ClientFilter) -> int:
    victims = [each for each in matching(client, which) if each is not client]
    for victim in victims:
        victim.closing.drop("killed")
    return len(victims)


def _closed_with(client: Client, reply: bytes) -> bytes:
    """Who kills itself is told before, and nothing that it has sent behind this command is run."""
    client.output.answer(reply)
    client.closing.count("killed")
    client.closing.close()
    return b""


def _complain(client: Client, which: ClientFilter, by_address: bool) -> None:
    """Nobody was killed: say so where Redis does.

    @raise Problem: it does.
    """
    if by_address:
        raise Problem("ERR No such client")
    user = which.user
    if user is not None and not client.auth.knows(user) and not matching(client, ClientFilter(user=user)):
        raise Problem(f"ERR No such user '{user[:64].decode('latin-1')}'")


def _wanted(args: list[bytes]) -> tuple[ClientFilter, bool]:
    """Whom the options mean, and whether not the client itself; the last one of a kind counts."""
    if len(args) % 2:
        raise Problem("ERR syntax error")
    which, skip_me = ClientFilter(), True
    for option, value in zip(args[::2], args[1::2], strict=True):
        if option.upper() == b"SKIPME":
            if value.lower() not in (b"yes", b"no"):
                raise Problem("ERR syntax error")
            skip_me = value.lower() == b"yes"
        else:
            which = _narrowed(which, option.upper(), value)
    return which, skip_me


def _narrowed(which: ClientFilter, option: bytes, value: bytes) -> ClientFilter:
    if option == b"ID":
        return replace(which, ids=frozenset({number(value, "ERR client-id should be greater than 0")}))
    if option == b"TYPE":
        return of_type(which, value)
    if option == b"ADDR":
        return replace(which, address=value.decode("latin-1"))
    if option == b"LADDR":
        return replace(which, local_address=value.decode("latin-1"))
    if option == b"USER":
        return replace(which, user=value)
    if option == b"MAXAGE":
        return replace(which, min_age_s=float(number(value, "ERR maxage is not an integer or out of range")))
    raise Problem("ERR syntax error")
