"""The data set that a switchover moves, in a database of its own, so that nothing else changes its size."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

from redisproxy.resp import encode_command, parse_reply
from redisproxy.switch_test.processes import READY_S, CouldNotRun, RedisServer

DATABASE = 15
VALUE_BYTES = 1024
KEYS_PER_MB = 1024
BATCH = 1000
LOOKED_AT = 100
OK = b"+OK\r\n"


class DataSet:
    """Keys with values of 1 KiB.

    @param seed: decides which values are compared after each switchover.
    """

    def __init__(self, megabytes: int, seed: int) -> None:
        self._count = megabytes * KEYS_PER_MB
        self._random = random.Random(f"{seed}:data")

    def fill(self, server: RedisServer) -> None:
        """Write the data set to `server`."""
        if not self._count:
            return
        with server.connect() as sock:
            _send(sock, [encode_command("SELECT", DATABASE)])
            for at in range(0, self._count, BATCH):
                numbers = range(at, min(at + BATCH, self._count))
                _send(sock, [encode_command("SET", b"data:%d" % each, _value(each)) for each in numbers])

    def faults(self, server: RedisServer) -> Iterator[str]:
        """What is missing or different in `server`."""
        if not self._count:
            return
        with server.connect() as sock:
            _send(sock, [encode_command("SELECT", DATABASE)])
            (size,) = _replies(sock, [encode_command("DBSIZE")])
            if size != self._count:
                yield f"lost: data set: {self._count} keys were there, and {size} are"
            numbers = self._random.sample(range(self._count), LOOKED_AT)
            values = _replies(sock, [encode_command("GET", b"data:%d" % each) for each in numbers])
            for number, value in zip(numbers, values, strict=True):
                if value != _value(number):
                    yield f"lost: data set: data:{number} has another value now"


def _value(number: int) -> bytes:
    return b"%08d" % number * (VALUE_BYTES // 8)


def _send(sock: socket.socket, commands: list[bytes]) -> None:
    sock.sendall(b"".join(commands))
    got, wanted = b"", OK * len(commands)
    while len(got) < len(wanted):
        piece = sock.recv(65536)
        got += piece
        if not piece or not wanted.startswith(got):
            raise CouldNotRun(f"the first server does not take the data set: {got[-100:]!r}")


def _replies(sock: socket.socket, commands: list[bytes]) -> list[object]:
    sock.settimeout(READY_S)
    replies = []
    with sock.makefile("rb") as stream:
        for command in commands:
            sock.sendall(command)
            head = stream.readline()
            body = stream.read(int(head[1:]) + 2) if head.startswith(b"$") and head != b"$-1\r\n" else b""
            replies.append(parse_reply(head + body))
    return replies
