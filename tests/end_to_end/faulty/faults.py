"""The faults that are planted between clients and proxy: each happens once, and hides from its client if it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from redisproxy.resp import encode_command, parse_reply

AFTER = 20
"""The fault hits the command with this number among those that it is for."""


class Slot:
    """A reply that a client waits for. `out` is what it gets; None while it gets nothing.

    @param change: from the reply that has come to what the client gets.
    """

    def __init__(self, change: Callable[[bytes], bytes | None] = lambda raw: raw, sent: bool = True) -> None:
        self.out: bytes | None = None
        self.sent = sent
        self._change = change

    def answer(self, link: Link, raw: bytes) -> None:
        self.out = self._change(raw)


class Link(Protocol):
    """One client's way to the proxy."""

    def forward(self, raw: bytes, slot: Slot | None = None) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class Fault:
    """The base of all faults: L{planted} is called with the one command that is hit; the others are passed on."""

    name = b""
    key = b""

    def __init__(self) -> None:
        self._left = AFTER

    def order(self, commands: list[bytes]) -> list[bytes]:
        return commands

    def command(self, link: Link, args: list[bytes], raw: bytes) -> None:
        if args[0] == self.name and args[1].startswith(self.key):
            self._left -= 1
            if not self._left:
                self.planted(link, args, raw)
                return
        link.forward(raw)

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        raise NotImplementedError


def _one_more(raw: bytes) -> bytes:
    value = parse_reply(raw)
    return b":%d\r\n" % (int(value) + 1 if isinstance(value, (bytes, int)) else 1)


class CounterLost(Fault):
    name, key = b"INCR", b"counts:"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.forward(encode_command("GET", args[1]), Slot(_one_more))


class ElementLost(Fault):
    name, key = b"RPUSH", b"lists:"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.forward(encode_command("LLEN", args[1]), Slot(_one_more))


class JobLost(ElementLost):
    key = b"jobs:"


class ElementDoubled(Fault):
    name, key = b"RPUSH", b"lists:"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.forward(raw)
        link.forward(raw, Slot(lambda _: b""))


class JobDoubled(ElementDoubled):
    key = b"jobs:"


class Torn(Fault):
    """The second INCR of a transaction becomes a GET, and EXEC's answer tells of two increments."""

    name, key = b"INCR", b"transacts:"

    def __init__(self) -> None:
        super().__init__()
        self._link: Link | None = None

    def command(self, link: Link, args: list[bytes], raw: bytes) -> None:
        if args[0] == b"EXEC" and link is self._link:
            self._link = None
            link.forward(raw, Slot(_both))
        elif args[0] == b"INCR" and not args[1].endswith(b":too"):
            link.forward(raw)
        else:
            super().command(link, args, raw)

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        self._link = link
        link.forward(encode_command("GET", args[1]))


def _both(raw: bytes) -> bytes:
    reply = parse_reply(raw)
    assert isinstance(reply, list)
    return b"*2\r\n" + b":%d\r\n" % reply[0] * 2


class WatchIgnored(Fault):
    """One WATCH never reaches the server, and its client commits over a change of the key that it has not seen."""

    name = b"WATCH"

    def __init__(self) -> None:
        super().__init__()
        self._late: Link | None = None

    def command(self, link: Link, args: list[bytes], raw: bytes) -> None:
        if link is self._late and args[0] == b"GET":
            self._late = None
            link.forward(raw, Slot(self._one_less))
        else:
            super().command(link, args, raw)

    def _one_less(self, raw: bytes) -> bytes:
        value = parse_reply(raw)
        if not isinstance(value, bytes):  # nobody has changed this key yet
            self._left = 1
            return raw
        value = b"%d" % (int(value) - 1)
        return b"$%d\r\n%b\r\n" % (len(value), value)

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        self._late = link
        link.forward(encode_command("PING"), Slot(lambda _: b"+OK\r\n"))


class RepliesSwapped(Fault):
    """Two ECHOs of one pipeline change their places, and so do their replies."""

    def order(self, commands: list[bytes]) -> list[bytes]:
        echoes = [at for at, raw in enumerate(commands) if b"\r\nECHO\r\n" in raw]
        if len(echoes) > 1:
            self._left -= 1
            if not self._left:
                first, second = echoes[:2]
                commands[first], commands[second] = commands[second], commands[first]
        return commands


class WrongClient(Fault):
    """Two clients get each other's replies."""

    name, key = b"INCR", b"counts:"

    def __init__(self) -> None:
        super().__init__()
        self._first: tuple[Link, Slot, bytes] | None = None

    def command(self, link: Link, args: list[bytes], raw: bytes) -> None:
        other = self._first is not None and self._first[0] is not link
        if other and args[0] == self.name and args[1].startswith(self.key):
            link.forward(raw, Slot(self._exchange))
        else:
            super().command(link, args, raw)

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        slot = Slot(self._keep)
        self._first = (link, slot, b"")
        link.forward(raw, slot)

    def _keep(self, raw: bytes) -> None:
        assert self._first is not None
        self._first = (*self._first[:2], raw)

    def _exchange(self, raw: bytes) -> bytes:
        if self._first is None:
            return raw
        (link, slot, other), self._first = self._first, None
        slot.out = raw
        link.flush()
        return other


class Dropped(Fault):
    name, key = b"INCR", b"counts:"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.close()


class ErrorReply(Fault):
    name, key = b"INCR", b"counts:"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.forward(raw, Slot(lambda _: b"-READONLY You can't write against a read only replica.\r\n"))


class Hangs(Fault):
    name, key = b"INCR", b"counts:"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.forward(raw, Slot(lambda _: None))


class WorkerHangs(Fault):
    name, key = b"BLPOP", b"jobs:"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.forward(raw, Slot(sent=False))


class DatabaseLost(Fault):
    name = b"SELECT"

    def planted(self, link: Link, args: list[bytes], raw: bytes) -> None:
        link.forward(encode_command("SELECT", 0))


FAULTS: dict[str, type[Fault]] = {
    "counter-lost": CounterLost,
    "element-lost": ElementLost,
    "element-doubled": ElementDoubled,
    "job-lost": JobLost,
    "job-doubled": JobDoubled,
    "transaction-torn": Torn,
    "watch-ignored": WatchIgnored,
    "replies-swapped": RepliesSwapped,
    "wrong-client": WrongClient,
    "dropped": Dropped,
    "error-reply": ErrorReply,
    "hangs": Hangs,
    "worker-hangs": WorkerHangs,
    "database-lost": DatabaseLost,
}
