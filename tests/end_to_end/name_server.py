"""A name server of the tests' own, on UDP, whose answers can be changed."""

from __future__ import annotations

import socket
import threading

from twisted.names import dns


class NameServer(threading.Thread):
    """Answers questions for A records.

    @ivar hosts: what each name points to; other names do not exist. @ivar silent: it answers nothing.
    @ivar only_a: it answers no question for AAAA. @ivar asked: how many questions for A records came.
    """

    def __init__(self, ttl_s: int = 1, **hosts: list[str]) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.hosts = {f"{name}.test": addresses for name, addresses in hosts.items()}
        self._ttl_s = ttl_s
        self.silent = self.only_a = False
        self.asked = 0
        self.start()

    def run(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(4096)
            if not data:
                self._socket.close()
                return
            answer = b"" if self.silent else self._answer(data)
            if answer:
                self._socket.sendto(answer, sender)

    def _answer(self, data: bytes) -> bytes:
        message = dns.Message()
        message.fromStr(data)
        (query,) = message.queries
        if self.only_a and query.type == dns.AAAA:
            return b""
        hosts = self.hosts.get(str(query.name), [])
        self.asked += query.type == dns.A
        message.answer, message.rCode = 1, dns.OK if hosts else dns.ENAME
        message.answers = [
            dns.RRHeader(str(query.name), dns.A, ttl=self._ttl_s, payload=dns.Record_A(host, self._ttl_s))
            for host in hosts
            if query.type == dns.A
        ]
        encoded: bytes = message.toStr()
        return encoded

    def end(self) -> None:
        """Answer nobody any more."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", self.port))
        self.join(10)
