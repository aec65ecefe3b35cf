"""Where the proxy answers otherwise than Redis, on purpose: an explicit list, each with its reason.

None of these commands changes what comes after, on either side, so that a conversation goes on behind it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.differential.lists import words
from tests.differential.steps import Command

REFUSED = re.compile(rb"-(ERR redisproxy does not support|NOPERM redisproxy does not forward) ")


@dataclass(frozen=True)
class Documented:
    """One difference.

    @ivar names: of commands, with the subcommand where it matters. @ivar ours: what the proxy answers.
    """

    names: frozenset[str]
    ours: re.Pattern[bytes]
    reason: str


DOCUMENTED = [
    Documented(
        words("CONFIG|SET CONFIG|REWRITE SCRIPT|DEBUG"),
        REFUSED,
        "docs/compatibility.md: refused, because it would act on the server or bind the connection to it",
    ),
    Documented(
        words("ACL|LIST ACL|USERS ACL|GETUSER ACL|SETUSER ACL|DELUSER ACL|SAVE ACL|LOAD"),
        REFUSED,
        "docs/compatibility.md: the users of the server are none of the clients' business",
    ),
    Documented(
        frozenset({"ACL|FOO", "CONFIG|FOO", "ACL|HELP"}),
        REFUSED,
        "subcommands of ACL and CONFIG that the table does not know are refused by name, whatever they are",
    ),
    Documented(frozenset({"CLIENT|HELP"}), re.compile(rb"\*"), "the proxy tells of the subcommands that it answers"),
]


def documented(command: Command, ours: bytes) -> str:
    """The reason why the proxy may answer `ours`; empty when it may not."""
    names = {command.name, f"{command.name}|{command.word(1)}"}
    for each in DOCUMENTED:
        if names & each.names and each.ours.match(ours):
            return each.reason
    return ""
