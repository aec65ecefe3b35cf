"""The sink for commands that the proxy sends for itself."""

from __future__ import annotations

from collections.abc import Callable

from redisproxy import resp

MAX_COLLECTED_BYTES = 4 * 1024 * 1024


class Collector:
    """Collects the replies to commands of the proxy's own, which no client sees.

    @param want: how many replies complete it.
    @param on_done: called once, with the parsed replies; with None when the connection was lost, or when they were
        larger than any answer to such commands is.
    """

    __slots__ = ("_chunks", "_missing", "_on_done", "_size")

    def __init__(self, want: int, on_done: Callable[[list[object] | None], None]) -> None:
        self._missing = want
        self._on_done = on_done
        self._chunks: list[bytes] = []
        self._size = 0

    def reply(self, data: bytes, done: int) -> None:
        self._size += len(data)
        if self._size <= MAX_COLLECTED_BYTES:
            self._chunks.append(data)
        self._missing -= done
        if not self._missing:
            self._finish()

    def lost(self) -> None:
        self._on_done(None)

    def _finish(self) -> None:
        if self._size > MAX_COLLECTED_BYTES:
            self._on_done(None)
        else:
            self._on_done(resp.parse_replies(b"".join(self._chunks)))
