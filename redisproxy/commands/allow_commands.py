"""Checks the setting C{allow_commands}, when the configuration is loaded; never on a command's path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from redisproxy.commands.redis_commands import SUBCOMMANDS, SUBSCRIBES, TABLE
from redisproxy.commands.treatment import FORWARD, Rule, Treatment

_OWN = frozenset({Rule.LOCAL, Rule.SELECT, Rule.MULTI, Rule.EXEC, Rule.DISCARD, Rule.WATCH, Rule.UNWATCH})
_ALIKE = 0.8


def not_allowable(names: Iterable[str]) -> Iterator[str]:
    """For each of `names` that can't be allowed, the reason; in alphabetical order.

    @param names: upper-case C{NAME} or C{NAME|SUBCOMMAND}.
    """
    for name in sorted(names):
        reason = _reason(name)
        if reason:
            yield f"cannot allow {name}: {reason}"


def _reason(name: str) -> str:
    command, _, word = name.partition("|")
    if command in SUBSCRIBES:
        return 'set "pubsub": true for subscribers'
    found = _treatment(command, word)
    if found is None:
        return _hint(name) and f"the proxy forwards what it does not know, {_hint(name)}"
    if found.rule is Rule.SECURITY:
        return "it is HTTP, which ends the connection as with Redis"
    if found.rule in _OWN:
        hint = _hint(name)
        return "the proxy handles it itself" + (f", {hint}" if hint else "")
    if found.rule is Rule.REFUSED and found.allowed is None:
        return found.error.partition(": ")[2]
    return ""


def _treatment(command: str, word: str) -> Treatment | None:
    """How the command is treated; None when the table does not know it."""
    subcommands = SUBCOMMANDS.get(command)
    if subcommands is None:
        return TABLE.get(command)
    return subcommands.get(word) or subcommands["*"] if word else FORWARD


def _hint(name: str) -> str:
    """A similar name that can be allowed; none for a name with a dot, which is a module's command."""
    known = [each for each, found in TABLE.items() if found.allowed is not None]
    known += [
        f"{command}|{word}"
        for command, subcommands in SUBCOMMANDS.items()
        for word, found in subcommands.items()
        if found.allowed is not None and word != "*"
    ]
    close = [] if "." in name else get_close_matches(name, known, 1, _ALIKE)
    return f"did you mean {close[0]}?" if close else ""
