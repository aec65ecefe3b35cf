"""Users of a Redis server as ACL LIST tells them: compared, and written as the arguments of ACL SETUSER. Pure.

Password hashes are in here, and never in a C{repr}, a message or a report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_DEFAULTS = (b"sanitize-payload", b"resetchannels")
"""What one version writes down and another one takes for granted."""
_SHORT = {b"allkeys": b"~*", b"allchannels": b"&*", b"allcommands": b"+@all", b"nocommands": b"-@all"}
_HASH = re.compile(r"[#<>!]?[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class AclUser:
    """One user.

    @ivar rules: what ACL LIST says after the name, but for passwords. @ivar passwords: C{#} and a SHA-256 each.
    """

    name: bytes
    rules: tuple[bytes, ...]
    passwords: frozenset[bytes] = field(repr=False)

    @property
    def arguments(self) -> tuple[bytes, ...]:
        """The arguments of ACL SETUSER that make this user what it is, whatever it was before."""
        return (self.name, b"reset", *self.rules, *sorted(self.passwords))

    def differences(self, other: AclUser, passwords: bool = True) -> Iterator[str]:
        """In what C{other} differs, in words.

        @param passwords: whether passwords count.
        """
        if (b"on" in self.rules) != (b"on" in other.rules):
            yield "enabled" if b"on" in other.rules else "disabled"
        if passwords and (self.passwords, b"nopass" in self.rules) != (other.passwords, b"nopass" in other.rules):
            yield "other passwords"
        for what, prefixes in (("keys", b"~%"), ("channels", b"&"), ("commands", b"+-"), ("selectors", b"(")):
            if _of(self, prefixes) != _of(other, prefixes):
                yield f"other {what}"
        if (b"skip-sanitize-payload" in self.rules) != (b"skip-sanitize-payload" in other.rules):
            yield "another sanitize-payload"


def _of(user: AclUser, prefixes: bytes) -> list[bytes]:
    """The rules of one kind; the order of commands counts, that of patterns does not."""
    found = [rule for rule in map(_without_defaults, user.rules) if rule[:1] in _letters(prefixes)]
    return found if prefixes == b"+-" else sorted(found)


def _letters(prefixes: bytes) -> list[bytes]:
    return [prefixes[at : at + 1] for at in range(len(prefixes))]


def _without_defaults(rule: bytes) -> bytes:
    if rule[:1] != b"(":
        return _SHORT.get(rule, rule)
    return b"(%b)" % b" ".join(word for word in rule.strip(b"()").split() if word not in _DEFAULTS)


def users_of(lines: object) -> dict[bytes, AclUser]:
    """The users in the reply to ACL LIST, by name; what is no user is left out."""
    found = {}
    for line in lines if isinstance(lines, list) else []:
        words = _words(line) if isinstance(line, bytes) else []
        if len(words) > 1 and words[0] == b"user":
            rules = tuple(word for word in words[2:] if word[:1] != b"#")
            found[words[1]] = AclUser(words[1], rules, frozenset(word for word in words[2:] if word[:1] == b"#"))
    return found


def _words(line: bytes) -> list[bytes]:
    """The words of a line; a selector, in parentheses, is one."""
    words: list[bytes] = []
    inside = False
    for word in line.split():
        if inside:
            words[-1] += b" " + word
        else:
            words.append(word)
        inside = (inside or word[:1] == b"(") and word[-1:] != b")"
    return words


def without_hashes(text: str) -> str:
    """A server's message about a user, without the password hashes that it may repeat."""
    return _HASH.sub("(a password)", text)
