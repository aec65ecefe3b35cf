"""A blocking connection that reads exactly the replies that are due, and says how it ended."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import hiredis

Reply = object
NEVER = object()
"""Stands for a reply that never came."""
PATIENCE_S = 20.0
"""Longer than all timeouts of the proxy's configuration together: no client may wait so long."""


def packed(*words: str | int | bytes) -> bytes:
    """A command as it goes over the wire."""
    made: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return made


class Lost(Exception):
    """The connection has ended; C{replies} had come by then."""

    def __init__(self, why: str, replies: list[Reply]) -> None:
        super().__init__(why)
        self.replies = replies


class Stuck(Exception):
    """No reply came for so long that the client would wait for ever."""


class Wire:
    """One connection to a loopback port.

    @raise OSError: there is no connection.
    """

    def __init__(self, port: int, patience_s: float = PATIENCE_S, tls: ssl.SSLContext | None = None) -> None:
        self._reader = hiredis.Reader()
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", port), patience_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")

    def ask(self, *commands: tuple[str | int | bytes, ...]) -> list[Reply]:
        """Send all at once; their replies, errors among them.

        @raise Lost: the connection has ended. @raise Stuck: no reply came.
        """
        replies: list[Reply] = []
        try:
            self.socket.sendall(b"".join(packed(*each) for each in commands))
            for reply in self._replies(len(commands), replies):
                replies.append(reply)
        except TimeoutError:
            raise Stuck(f"no reply to {commands[len(replies)]!r:.80}") from None
        except OSError as error:
            raise Lost(type(error).__name__, replies) from None
        return replies

    def _replies(self, count: int, so_far: list[Reply]) -> Iterator[Reply]:
        for _ in range(count):
            while (reply := self._reader.gets()) is False:
                data = self.socket.recv(65536)
                if not data:
                    raise Lost("end of stream", so_far)
                self._reader.feed(data)
            yield reply

    def close(self, reset: bool = False) -> None:
        """Leave; with RST when asked."""
        with contextlib.suppress(OSError):
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            self.socket.close()
