"""The Lua scripts that clients have sent, so that EVALSHA works on the next Redis server too.

Redis does not replicate its script cache (https://redis.io/docs/latest/develop/interact/programmability/eval-intro/):
after a switch, EVALSHA of a script that only the old server has seen would answer NOSCRIPT. The proxy remembers the
bodies that pass in EVAL and SCRIPT LOAD, within a bound, and loads them at the new server before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

_EVALS = frozenset({b"EVAL", b"EVAL_RO"})


class ScriptCache:
    """Script bodies, the longest unused ones first.

    @ivar max_bytes: how much is kept; a body that alone is larger is not.
    @ivar on_new: called with each body that a client has sent and that was not kept before.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.on_new: Callable[[bytes], None] = lambda body: None
        self._bodies: dict[bytes, None] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._bodies)

    @property
    def bodies(self) -> tuple[bytes, ...]:
        """What is kept, the longest unused one first."""
        return tuple(self._bodies)

    def see(self, args: list[bytes]) -> None:
        """Take note of one command: EVAL, EVAL_RO or SCRIPT."""
        name = args[0].upper()
        if name in _EVALS and len(args) > 1:
            self._saw(args[1])
        elif name == b"SCRIPT" and len(args) > 1:
            subcommand = args[1].upper()
            if subcommand == b"LOAD" and len(args) == 3:
                self._saw(args[2])
            elif subcommand == b"FLUSH":
                self._bodies.clear()
                self._size = 0

    def _saw(self, body: bytes) -> None:
        if self._add(body):
            self.on_new(body)

    def learn(self, bodies: Iterable[bytes]) -> tuple[bytes, ...]:
        """Take note of those that somebody else has kept; the ones that are new here."""
        return tuple(body for body in bodies if self._add(body))

    def take(self, max_bytes: int) -> tuple[bytes, ...]:
        """Remove the longest unused ones, as many as have this size together, or one."""
        taken, size = [self._remove_oldest()], 0
        while self._bodies and (size := size + len(taken[-1])) < max_bytes:
            taken.append(self._remove_oldest())
        return tuple(taken)

    def _add(self, body: bytes) -> bool:
        known = body in self._bodies
        if known:
            del self._bodies[body]
        elif len(body) > self.max_bytes:
            return False
        else:
            self._size += len(body)
        self._bodies[body] = None
        while self._size > self.max_bytes:
            self._remove_oldest()
        return not known

    def _remove_oldest(self) -> bytes:
        oldest = next(iter(self._bodies))
        del self._bodies[oldest]
        self._size -= len(oldest)
        return oldest

    def missing(self, loaded: set[bytes]) -> list[bytes]:
        """The bodies that are not among `loaded`."""
        return [body for body in self._bodies if body not in loaded]
