"""The two sides of a conversation: two clients each, whose replies are read one by one, and the server's own state."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import time
from collections import deque

from redisproxy.resp import ReplyScanner, encode_command

PATIENCE_S = 5.0
CHUNK_BYTES = 16384
"""How much Redis reads of a client at a time (PROTO_IOBUF_LEN, src/server.h)."""


class Connection:
    """One connection.

    @ivar values: replies and messages that have come, whole. @ivar closed: the other side has closed it.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.values: deque[bytes] = deque()
        self.closed = False
        self._scanner = ReplyScanner()
        self._scanner.counts_pushes = True
        self._pieces: list[bytes] = []
        self.id = int(self.ask("CLIENT", "ID")[1:])

    def ask(self, *words: str | bytes | int) -> bytes:
        """Send one command and take its reply."""
        self.send(encode_command(*words))
        reply = self.next(PATIENCE_S)
        assert reply is not None, f"no answer to {words}"
        return reply

    def send(self, data: bytes) -> None:
        """Send all of it, unless the connection is closed."""
        with contextlib.suppress(ConnectionError):
            self.socket.sendall(data)

    def send_cut(self, pieces: list[bytes]) -> None:
        """Send in pieces that mostly arrive one by one."""
        for piece in pieces:
            self.send(piece)
            if 1 < len(pieces) < 6:
                time.sleep(0)

    def next(self, timeout_s: float) -> bytes | None:
        """The next value, when it comes in time."""
        until = time.monotonic() + timeout_s
        while not self.values and not self.closed and (left := until - time.monotonic()) > -1e-9:
            self.receive(max(0.0, left))
            if timeout_s <= 0:
                break
        return self.values.popleft() if self.values else None

    def receive(self, timeout_s: float) -> bool:
        """Take what arrives; wait this long for something."""
        if self.closed or not select.select([self.socket], [], [], timeout_s)[0]:
            return False
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError:
            data = b""
        self.closed = not data
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            end, done = self._scanner.scan(data, at, 1)
            self._pieces.append(data[at:end])
            at = end
            if done:
                self.values.append(b"".join(self._pieces))
                self._pieces.clear()

    def drain(self) -> None:
        """Take what has arrived."""
        while self.receive(0):
            pass

    def close(self) -> None:
        """End it."""
        self.socket.close()


def cut(data: bytes, seed: int) -> list[bytes]:
    """Cut bytes: into one piece, single bytes, small or large pieces."""
    chance = random.Random(seed)
    how = chance.randrange(5)
    if how < 2 or (how == 2 and len(data) > 1000):
        return [data]
    most = {2: 1, 3: 60, 4: 2000}[how]
    most = max(most, len(data) // 300)
    pieces, at = [], 0
    while at < len(data):
        size = chance.randint(1, most)
        pieces.append(data[at : at + size])
        at += size
    return pieces


class Side:
    """Two clients of a port, and a connection to the server behind it.

    @param port: where the clients connect. @param server_port: where the server itself is.
    """

    def __init__(self, port: int, server_port: int) -> None:
        self._port = port
        self._observer = Connection(server_port)
        self.clients: list[Connection] = []

    def begin(self) -> None:
        """Remove all data of the conversation before, and connect two clients. The former two have left."""
        self.clients = [Connection(self._port), Connection(self._port)]
        for words in (["FLUSHALL"], ["SCRIPT", "FLUSH"], ["FUNCTION", "FLUSH"]):
            self.clients[0].ask(*words)  # the proxy remembers scripts, and forgets them only when it sees this

    def disconnect(self) -> None:
        """Close the clients' connections."""
        for client in self.clients:
            client.close()
        self.clients = []

    def reconnect(self, who: int) -> None:
        """One client closes and connects anew."""
        self.clients[who].close()
        self.clients[who] = Connection(self._port)

    @property
    def ids(self) -> tuple[int, int]:
        """The ids of the two clients."""
        return self.clients[0].id, self.clients[1].id

    def state(self) -> tuple[int, int]:
        """How many clients of the server are blocked, and how many are subscribed."""
        blocked = self._observer.ask("INFO", "clients").split(b"blocked_clients:", 1)[1].split(b"\r", 1)[0]
        return int(blocked), self._observer.ask("CLIENT", "LIST", "TYPE", "pubsub").count(b" addr=")

    def listed(self) -> bytes:
        """The clients of the server, as it lists them."""
        return self._observer.ask("CLIENT", "LIST")

    def settle(self, sent_bytes: int = 0) -> None:
        """Wait until the server has handled so much that it was sent directly, and take what it has answered."""
        for _ in range(2 + sent_bytes // CHUNK_BYTES):
            self._observer.ask("PING")
        for client in self.clients:
            client.drain()

    def digest(self) -> bytes:
        """A digest of all data of the server."""
        return self._observer.ask("DEBUG", "DIGEST")

    def close(self) -> None:
        """End all connections."""
        for client in [*self.clients, self._observer]:
            client.close()
