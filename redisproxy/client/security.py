"""HTTP on the Redis port, as a web page or a tricked service sends it: the client is closed at once, as Redis does.

Nothing behind it is looked at, and nothing is answered (src/networking.c, securityWarningCommand).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from redisproxy.resp import COMMAND, ProtocolError, split_inline

if TYPE_CHECKING:
    from redisproxy.client.intake import Intake
    from redisproxy.client.protocol import ClientProtocol

_WORDS = frozenset({b"POST", b"HOST:"})
_MULTIBULK = re.compile(rb"\*[1-9][0-9]*\r\n\$(?:4\r\npost|5\r\nhost:)\r\n", re.IGNORECASE)


def is_http(name: bytes) -> bool:
    """Say whether a command of this name is HTTP."""
    return name.upper() in _WORDS


def close(client: ClientProtocol) -> bool:
    """Close a client that has sent HTTP; replies that it waits for are lost with it, as with Redis."""
    client.log.warn("client {id} sent HTTP to the Redis port; it is closed", id=client.id)
    client.drop("security")
    return True


def comes_next(intake: Intake) -> bool:
    """Say whether HTTP is the next that would be taken; nothing is taken for that."""
    unit = intake.first
    if unit is not None:
        return unit[0] == COMMAND and is_http(unit[2][0])
    data = intake.peek()
    if data.startswith(b"*"):
        return _MULTIBULK.match(data) is not None
    line, ended, _ = data.partition(b"\n")
    try:
        words = split_inline(line) if ended else []
    except ProtocolError:
        return False  # it is answered with this error when its turn has come
    return bool(words) and is_http(words[0])
