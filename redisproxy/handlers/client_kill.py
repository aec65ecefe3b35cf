"""CLIENT KILL (https://redis.io/docs/latest/commands/client-kill/): closes clients of the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.output import OK
from redisproxy.handlers.client_filters import Problem, Test, at_address, number, of_type

if TYPE_CHECKING:
    from redisproxy.client.client import Client


def kill(client: Client, args: list[bytes]) -> bytes:
    if len(args) == 1:
        victims = client.registry.matching(at_address(args[0]))
        if not victims:
            raise Problem("ERR No such client")
        return _close_all(client, victims, OK)
    tests, skip_me = _kill_filters(client, args)
    victims = client.registry.matching(*tests)
    if skip_me:
        victims = [each for each in victims if each is not client]
    return _close_all(client, victims, resp.integer(len(victims)))


def _close_all(client: Client, victims: list[Client], reply: bytes) -> bytes:
    """Close them; who kills itself is told before, and nothing that it has sent behind this command is run."""
    for victim in victims:
        if victim is not client:
            victim.closing.drop("killed")
    if client not in victims:
        return reply
    client.output.answer(reply)
    client.closing.count("killed")
    client.closing.close()
    return b""


def _kill_filters(client: Client, args: list[bytes]) -> tuple[list[Test], bool]:
    if len(args) % 2:
        raise Problem("ERR syntax error")
    tests: list[Test] = []
    skip_me = True
    for option, value in zip(args[::2], args[1::2], strict=True):
        if option.upper() == b"SKIPME":
            if value.lower() not in (b"yes", b"no"):
                raise Problem("ERR syntax error")
            skip_me = value.lower() == b"yes"
        else:
            tests.append(_kill_filter(client, option.upper(), value))
    return tests, skip_me


def _kill_filter(client: Client, option: bytes, value: bytes) -> Test:
    if option == b"ID":
        wanted = number(value, "ERR client-id should be greater than 0")
        return lambda each: each.id == wanted
    if option == b"TYPE":
        return of_type(value)
    if option == b"ADDR":
        return at_address(value)
    if option == b"LADDR":
        text = value.decode("latin-1")
        return lambda each: each.local_address == text
    if option == b"USER":
        if not client.auth.knows(value) and all(each.session.user != value for each in client.registry):
            raise Problem(f"ERR No such user '{value[:64].decode('latin-1')}'")
        return lambda each: each.session.user == value
    if option == b"MAXAGE":
        age = number(value, "ERR maxage is not an integer or out of range")
        now = client.core.clock.seconds()
        return lambda each: now - each.identity.created >= age
    raise Problem("ERR syntax error")
