"""How two peers prove to each other that they have the secret, and how nobody else can speak on their connection.

A challenge both ways (HMAC-SHA-256 over a random number of each side and over who says it), and a key for each
direction, with which every message is sealed: nobody can change, repeat, leave out or insert one. Nothing is encrypted
here; that is what TLS is for. No I/O and no Twisted.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

GREETING = b"redisproxy fleet 1\r\n"
NONCE_BYTES = 32
PROOF_BYTES = 32
SEAL_BYTES = 16
SIZE_BYTES = 4
MAX_MESSAGE_BYTES = 16 * 1024


class NotProven(Exception):
    """The other side is none of the fleet, or somebody has changed what it has sent."""


class Proof:
    """The two nonces of one connection, and what follows from them.

    @param key: the secret. @param calls: this side has made the connection.
    """

    def __init__(self, key: bytes, calls: bool, callers: bytes, listeners: bytes) -> None:
        self._key = key
        self._nonces = callers + listeners
        self._own, self._others = (b"caller", b"listener") if calls else (b"listener", b"caller")

    def own(self) -> bytes:
        """What this side sends."""
        return self._of(b"proof of the " + self._own)

    def check(self, proof: bytes) -> None:
        """
        @raise NotProven: this is not what the other side has to send.
        """
        if not hmac.compare_digest(proof, self._of(b"proof of the " + self._others)):
            raise NotProven("the other side has another secret")

    def seals(self) -> tuple[Seal, Seal]:
        """Those of what leaves, and of what arrives."""
        return Seal(self._of(b"messages of the " + self._own)), Seal(self._of(b"messages of the " + self._others))

    def _of(self, what: bytes) -> bytes:
        return hmac.digest(self._key, what + b":" + self._nonces, sha256)


class Seal:
    """Seals the messages of one direction, in their order."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._number = 0

    def of(self, message: bytes) -> bytes:
        """The seal of the next message."""
        self._number += 1
        return hmac.digest(self._key, self._number.to_bytes(8, "big") + message, sha256)[:SEAL_BYTES]


class Sealed:
    """Messages as they are on the wire: their size, their seal, themselves.

    @param leaving, arriving: the seals of both directions.
    """

    def __init__(self, leaving: Seal, arriving: Seal) -> None:
        self._leaving = leaving
        self._arriving = arriving
        self._received = bytearray()

    def sealed(self, data: bytes) -> bytes:
        """What is sent for `data`, of any size."""
        parts = []
        for at in range(0, len(data), MAX_MESSAGE_BYTES):
            message = data[at : at + MAX_MESSAGE_BYTES]
            parts += [len(message).to_bytes(SIZE_BYTES, "big"), self._leaving.of(message), message]
        return b"".join(parts)

    def opened(self, data: bytes) -> bytes:
        """What the other side has sent, as far as it is whole by now; at most one message is kept.

        @raise NotProven: somebody else has had a hand in it.
        """
        received, messages = self._received, []
        received += data
        while (head := SIZE_BYTES + SEAL_BYTES) <= len(received):
            size = int.from_bytes(received[:SIZE_BYTES], "big")
            if not 0 < size <= MAX_MESSAGE_BYTES:
                raise NotProven("a message of a size that none has")
            if len(received) < head + size:
                break
            message = bytes(received[head : head + size])
            if not hmac.compare_digest(bytes(received[SIZE_BYTES:head]), self._arriving.of(message)):
                raise NotProven("a message that was changed on its way")
            messages.append(message)
            del received[: head + size]
        return b"".join(messages)
