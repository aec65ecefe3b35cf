"""HTTP on the Redis port, as a web page or a tricked service sends it: the client is closed at once, as Redis does.

Nothing behind it is looked at, and nothing is answered (src/networking.c, securityWarningCommand).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from redisproxy.resp import COMMAND, ProtocolError, split_inline

if TYPE_CHECKING:
    from redisproxy.client.client import Client

_WORDS = frozenset({b"POST", b"HOST:"})
_METHODS = frozenset({b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"PUT", b"TRACE"})
_HOST = re.compile(rb"(?:[!-9;-~]+:[^\n]*\n)*?host:\s", re.IGNORECASE)
"""A Host behind nothing but other headers, so that what comes after them is not looked at again and again."""
_MULTIBULK = re.compile(rb"\*[1-9][0-9]*\r\n\$(?:4\r\npost|5\r\nhost:)\r\n", re.IGNORECASE)


def is_http(client: Client, args: list[bytes]) -> bool:
    """Say whether what has been taken is HTTP: named so, or a request line with a Host behind it.

    To Redis the latter are an unknown command and the end, and the end takes the answers before it along.
    """
    if is_named_http(args):
        return True
    is_line = len(args) == 3 and args[2].startswith(b"HTTP/") and args[0] in _METHODS
    return is_line and _HOST.match(client.received.peek()) is not None


def is_named_http(args: list[bytes]) -> bool:
    """Say whether a command has a name for which Redis takes it for HTTP."""
    return args[0].upper() in _WORDS


def close(client: Client) -> bool:
    """Close a client that has sent HTTP; replies that it waits for are lost with it, as with Redis."""
    client.log.warn("client {id} sent HTTP to the Redis port; it is closed", id=client.id)
    client.closing.drop("security")
    return True


def comes_next(client: Client) -> bool:
    """Say whether HTTP is the next that would be taken; nothing is taken for that."""
    unit = client.received.first
    if unit is not None:
        return unit[0] == COMMAND and is_http(client, unit[2])
    data = client.received.peek()
    if data.startswith(b"*"):
        return _MULTIBULK.match(data) is not None
    line, ended, _ = data.partition(b"\n")
    try:
        words = split_inline(line) if ended else []
    except ProtocolError:
        return False  # it is answered with this error when its turn has come
    return bool(words) and is_http(client, words)
