"""What one client has asked of CLIENT TRACKING, so that it can be asked for again at another server; no transport.

Options, their texts and how one command changes what an earlier one has set are Redis's own (src/tracking.c,
src/networking.c; https://redis.io/docs/latest/commands/client-tracking/). The server checks them; here is remembered
what it has taken.
"""

from __future__ import annotations

from redisproxy.client.session_value import MAX_PREFIX_BYTES, MAX_PREFIXES, TRACKING_FLAGS, TrackingValue
from redisproxy.resp import encode_command

INVALIDATE_ALL = b">2\r\n$10\r\ninvalidate\r\n_\r\n"
"""What Redis sends after FLUSHALL: the client forgets everything that it has cached."""
REDIRECTED = (
    "ERR redisproxy does not support 'client|tracking' with REDIRECT: another client's connection could not be moved"
    " together with this one; in RESP3 (HELLO 3) the messages come on this connection"
)
TOO_MANY = (
    f"ERR redisproxy remembers no more than {MAX_PREFIXES} prefixes of {MAX_PREFIX_BYTES} bytes for a client;"
    " use shorter ones or none"
)
_NOT_TRACKED = (
    "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
)


class NotSupported(Exception):
    """The proxy can't do what is asked for; C{str()} is the error text."""


class Tracking:
    """Tracking that is on.

    @ivar flags: those of BCAST, OPTIN, OPTOUT and NOLOOP that are set. @ivar prefixes: of BCAST, each once.
    @ivar caching: YES or NO, from CLIENT CACHING until the next command; else empty.
    @ivar lost: the connection that it was on is gone; it is to be asked for again before the next command.
    @ivar owed: the client is to forget what it has cached, and could not be told in RESP2.
    """

    __slots__ = ("caching", "flags", "lost", "owed", "prefixes")

    def __init__(self, flags: set[bytes], prefixes: dict[bytes, None]) -> None:
        self.flags = flags
        self.prefixes = prefixes
        self.caching = b""
        self.lost = self.owed = False

    @property
    def broadcast(self) -> bool:
        """Whether it speaks of keys that other connections have read, too."""
        return b"BCAST" in self.flags

    def commands(self) -> list[bytes]:
        """The commands that ask for the same again.

        The empty prefix is that of BCAST without any, and is taken beside others only when it is not named.
        """
        on = [b"CLIENT", b"TRACKING", b"ON", *(flag for flag in TRACKING_FLAGS if flag in self.flags)]
        named = [word for prefix in self.prefixes if prefix for word in (b"PREFIX", prefix)]
        asked = [encode_command(*on, *named)] if named else []
        if not named or b"" in self.prefixes:
            asked.append(encode_command(*on))
        return asked

    def export(self) -> TrackingValue:
        """What another process has to know of it."""
        flags = tuple(flag for flag in TRACKING_FLAGS if flag in self.flags)
        return TrackingValue(flags=flags, prefixes=tuple(self.prefixes), caching=self.caching, owed=self.owed)

    @classmethod
    def take_in(cls, value: TrackingValue) -> Tracking:
        """What another process has exported, lost with its connection there."""
        tracking = cls(set(value.flags), dict.fromkeys(value.prefixes))
        tracking.caching, tracking.owed, tracking.lost = value.caching, value.owed, True
        return tracking

    def caching_command(self) -> bytes:
        """The CLIENT CACHING that has to go right before the next command; empty when there is none."""
        return encode_command("CLIENT", "CACHING", self.caching) if self.caching else b""


def caching_problem(tracking: Tracking | None, mode: bytes) -> str:
    """Say what Redis says against CLIENT CACHING with `mode`; empty when it takes it."""
    if tracking is None:
        return _NOT_TRACKED
    option = {b"YES": b"OPTIN", b"NO": b"OPTOUT"}.get(mode)
    if option is None:
        return "ERR syntax error"
    if option in tracking.flags:
        return ""
    return f"ERR CLIENT CACHING {mode.decode()} is only valid when tracking is enabled in {option.decode()} mode."


def asked_for(args: list[bytes], before: Tracking | None) -> Tracking | None:
    """What is on once the server has taken CLIENT TRACKING with these arguments (from ON or OFF); None for OFF.

    Of a command that the server does not take, the result means nothing.

    @raise NotSupported: the server must not get it.
    """
    flags, prefixes = _options(args[1:])
    if args[0].upper() != b"ON":
        return None
    if b"BCAST" in flags:
        old = before.prefixes if before is not None and before.broadcast else {}
        prefixes = {**old, **(prefixes or {b"": None})}
    if len(prefixes) > MAX_PREFIXES or sum(map(len, prefixes)) > MAX_PREFIX_BYTES:
        raise NotSupported(TOO_MANY)
    tracking = Tracking(flags, prefixes)
    if before is not None:
        tracking.caching, tracking.owed = before.caching, before.owed
    return tracking


def _options(args: list[bytes]) -> tuple[set[bytes], dict[bytes, None]]:
    flags: set[bytes] = set()
    prefixes: dict[bytes, None] = {}
    rest = iter(args)
    for arg in rest:
        word = arg[:16].upper()
        if word == b"PREFIX":
            prefixes[next(rest, b"")] = None
        elif word == b"REDIRECT":
            target = next(rest, b"")
            if target.isdigit() and target.strip(b"0"):
                raise NotSupported(REDIRECTED)
        else:
            flags.add(word)
    return flags, prefixes
