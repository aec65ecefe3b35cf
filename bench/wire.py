"""A blocking connection to Redis or a proxy, to prepare values and to check that answers are right."""

from __future__ import annotations

import socket
import ssl
from types import TracebackType

from bench.errors import BenchError

TIMEOUT_S = 10.0


def encode(*parts: bytes) -> bytes:
    """A command as an array of bulk strings (RESP)."""
    body = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), body)


class Connection:
    """One connection; raises BenchError on an error reply, an end of the connection or a timeout.

    @ivar socket: the socket, authenticated.
    """

    def __init__(self, port: int, password: str = "", cacert: str = "") -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        if cacert:
            context = ssl.create_default_context(cafile=cacert)
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._file = self.socket.makefile("rb")
        if password:
            self.ask(b"AUTH", password.encode())

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.socket.close()

    def ask(self, *parts: bytes) -> bytes:
        """Send a command, return its simple or bulk string."""
        try:
            self.socket.sendall(encode(*parts))
            return self.reply()
        except OSError as error:
            raise BenchError(f"{parts[0].decode()}: {error}") from error

    def reply(self) -> bytes:
        """The next simple or bulk string."""
        line = self._file.readline().rstrip(b"\r\n")
        if line.startswith(b"$") and line != b"$-1":
            length = int(line[1:])
            return self._file.read(length + 2)[:length]
        if line.startswith((b"+", b":")):
            return line[1:]
        raise BenchError(f"unexpected reply {line!r}")

    def commands_processed(self) -> int:
        """How many commands this Redis has carried out since it started (INFO stats)."""
        lines = self.ask(b"INFO", b"stats").split(b"\r\n")
        return next(int(line.split(b":")[1]) for line in lines if line.startswith(b"total_commands_processed:"))
