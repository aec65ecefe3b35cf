"""What a conversation is made of: commands, and steps in which one client, or both, send some. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from redisproxy.resp import encode_command

A, B = 0, 1
ID = (b"{id-of-a}", b"{id-of-b}")
"""Stand for the ids of the two clients, which are not the same on the two sides."""


class Form(Enum):
    """How a command goes over the wire."""

    RESP = auto()
    INLINE = auto()
    RAW = auto()
    """Its only argument is what is sent, whether that is a command or not."""


@dataclass(frozen=True)
class Command:
    """One command.

    @ivar waits: it blocks until another client serves it; only such a command may be unanswered at the end of a step.
    """

    args: tuple[bytes, ...]
    form: Form = Form.RESP
    waits: bool = False

    @property
    def name(self) -> str:
        """Its name, in upper case."""
        return self.args[0][:64].decode("latin-1").upper() if self.args and self.form is not Form.RAW else ""

    def word(self, at: int) -> str:
        """An argument, in upper case; empty when it is not there."""
        return self.args[at][:64].decode("latin-1").upper() if at < len(self.args) else ""

    def encode(self, ids: tuple[int, int]) -> bytes:
        """The bytes that are sent to a side on which the clients have these ids."""
        if self.form is Form.RAW:
            return self.args[0]
        args = [_filled(arg, ids) for arg in self.args]
        if self.form is Form.INLINE:
            return b" ".join(_quoted(arg) for arg in args) + b"\r\n"
        return encode_command(*args)


def command(*words: str | bytes | int, waits: bool = False) -> Command:
    """A command of these words."""
    args = tuple(word if isinstance(word, bytes) else str(word).encode() for word in words)
    return Command(args, waits=waits)


def _filled(arg: bytes, ids: tuple[int, int]) -> bytes:
    for stands, number in zip(ID, ids, strict=True):
        arg = arg.replace(stands, b"%d" % number)
    return arg


def _quoted(arg: bytes) -> bytes:
    return b'"' + b"".join(b"\\x%02x" % byte for byte in arg) + b'"' if _needs_quotes(arg) else arg


def _needs_quotes(arg: bytes) -> bool:
    return not arg or not all(33 <= byte <= 126 and byte not in b"\"'\\" for byte in arg)


class Kind(Enum):
    """What happens in a step."""

    SEND = auto()
    """One client sends commands; the step is over when everything that they cause has come."""
    TOGETHER = auto()
    """Both clients send at once commands of which none depends on one of the other's."""
    LEAVE = auto()
    """A client closes its connection and makes a new one."""
    RELOAD = auto()
    """The proxy reloads: it moves to new connections to the same server."""


@dataclass(frozen=True)
class Step:
    """One step.

    @ivar who: the client, L{A} or L{B}. @ivar others: what the other one sends. @ivar cut: a seed for cutting bytes.
    """

    kind: Kind
    who: int = A
    commands: tuple[Command, ...] = ()
    others: tuple[Command, ...] = ()
    cut: int = 0

    @property
    def size(self) -> int:
        """How many commands are in it."""
        return len(self.commands) + len(self.others)
