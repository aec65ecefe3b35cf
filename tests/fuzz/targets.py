"""Every target by name, with inputs to begin from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.fuzz import admin, configs, lanes, replies, requests


@dataclass(frozen=True)
class Target:
    """One thing to fuzz.

    @ivar check: raises when something that must hold does not. @ivar seeds: whole inputs.
    @ivar tokens: what inputs are made of.
    """

    check: Callable[[bytes], None]
    tokens: Sequence[bytes]
    seeds: Sequence[bytes] = ()

    def corpus(self) -> list[bytes]:
        """The seeds, and one for every few tokens under each of the first options."""
        made = [
            b"%c\0" % option + b"".join(self.tokens[at : at + 3])
            for option in range(6)
            for at in range(len(self.tokens))
        ]
        return [*self.seeds, *made]


_BYTES = [bytes([each]) for each in range(0, 256, 7)]
TARGETS = {
    "requests": Target(requests.check, requests.TOKENS),
    "replies": Target(replies.check, replies.TOKENS),
    "valid-replies": Target(replies.check_valid, _BYTES),
    "lanes": Target(lanes.check, _BYTES),
    "config": Target(
        configs.check, [*_BYTES, b'{"uplink":', b'{"addr": "a:1"}', b"}", b'"listen": ', b"[" * 2000, b"\xff\xfe"]
    ),
    "admin": Target(admin.check, admin.TOKENS, [b"\0\0" + request for request in admin.REQUESTS]),
}
