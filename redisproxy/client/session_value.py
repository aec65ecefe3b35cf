"""A client's connection as a value: all that a data plane has to know to go on with it where another one has stopped.

C{serving/leaving.py} makes it and C{serving/arriving.py} takes it in; nothing in here knows a socket. It crosses from
one process to the other as JSON, with bytes in base64, and what arrives is checked before anything is done with it:
types, sizes, and whether its parts go together.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from redisproxy.client.names import valid_name
from redisproxy.resp import RUN, ProtocolError, RequestFramer
from redisproxy.shared.maintenance import ENDPOINT_TYPES, ENDS

VERSION = 1
MAX_BYTES = 268435456
"""No client's state is larger in its form as bytes; one with more unsent replies stays where it is."""
MAX_ID = (1 << 53) - 1
MAX_WATCHED = 1000
MAX_WATCHED_BYTES = 1048576
"""Of the keys of one client's WATCHes: with more of them, its next EXEC after a move answers nil."""
MAX_PREFIXES = 1000
MAX_PREFIX_BYTES = 65536
"""Of CLIENT TRACKING, for one client."""
TRACKING_FLAGS = (b"BCAST", b"OPTIN", b"OPTOUT", b"NOLOOP")
_CACHING = (b"", b"YES", b"NO")
_SECONDS = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_TEXT = Annotated[str, Field(max_length=512)]
_NAMES = tuple[bytes, ...]


class InvalidState(ValueError):
    """What arrived is not the state of a client; C{str()} says what is wrong, without the client's data."""


class Value(BaseModel):
    """Frozen, strict, with no unknown keys; what a client has sent never shows in an error."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


V = TypeVar("V", bound=Value)


def count_commands(data: bytes) -> int | None:
    """How many commands there are in `data`; None when it is anything but whole commands."""
    framer = RequestFramer(frozenset(), max_held_bytes=len(data) + 1)
    framer.feed(data)
    count = 0
    try:
        while (unit := framer.next()) is not None:
            if unit[0] != RUN:
                return None
            count += unit[2]  # type: ignore[operator]
    except ProtocolError:
        return None
    return None if framer.buffered else count


class TransactionValue(Value):
    """An open MULTI; see C{session.Transaction}, which has the same names.

    @ivar commands: what Redis has queued, as bytes; empty when not C{replayable}.
    """

    commands: bytes = Field(repr=False)
    count: Annotated[int, Field(ge=0, le=MAX_ID)]
    own: tuple[tuple[int, bytes], ...] = Field(repr=False)
    dead: bool
    replayable: bool
    selects: bool
    caching: bytes

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.caching and count_commands(self.caching) != 1:
            raise ValueError("what goes before the transaction is no command")
        if count_commands(self.commands) != (self.count if self.replayable else 0):
            raise ValueError("the commands of the transaction are not as many as it says")
        places = [place for place, _ in self.own]
        if places != sorted(set(places)) or (places and not 0 <= places[0] <= places[-1] < self.count):
            raise ValueError("a command of the transaction has no place in it")
        if any(count_commands(raw) != 1 for _, raw in self.own):
            raise ValueError("the transaction has a command that is none")
        return self


class TrackingValue(Value):
    """CLIENT TRACKING that is on; see C{tracking_options.Tracking}."""

    flags: _NAMES
    prefixes: Annotated[_NAMES, Field(max_length=MAX_PREFIXES)]
    caching: bytes
    owed: bool

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not set(self.flags) <= set(TRACKING_FLAGS) or self.caching not in _CACHING:
            raise ValueError("there is no such option of CLIENT TRACKING")
        if sum(map(len, self.prefixes)) > MAX_PREFIX_BYTES:
            raise ValueError("the prefixes of CLIENT TRACKING are too long")
        return self


class SessionValue(Value):
    """See C{session.Session}, which has the same names.

    @ivar skipped_waits: the command whose reply is skipped is the first one in C{ClientValue.unread}.
    """

    user: bytes | None
    failed_logins: Annotated[int, Field(ge=0)]
    db: Annotated[int, Field(ge=0, lt=1 << 31)]
    resp_version: Literal[2, 3]
    name: bytes
    lib_name: bytes
    lib_version: bytes
    muted: bool
    skip: Literal["no", "next", "now"]
    skipped_waits: bool
    transaction: TransactionValue | None
    watching: bool
    watch_lost: bool
    watched: Annotated[_NAMES, Field(max_length=MAX_WATCHED)] | None = Field(repr=False)
    tracking: TrackingValue | None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if not all(map(valid_name, (self.name, self.lib_name, self.lib_version))):
            raise ValueError("a name has spaces or special characters")
        if self.user is not None and any(byte < 32 for byte in self.user):
            raise ValueError("the user's name has control characters")
        if self.skipped_waits and self.skip != "now":
            raise ValueError("no command is skipped")
        if self.watching and not self.watched:
            raise ValueError("there is a WATCH without its keys")
        return self


class SubscriptionValue(Value):
    """What the client is subscribed to, or that it monitors; see C{pubsub.Subscription}."""

    channels: _NAMES = ()
    patterns: _NAMES = ()
    shard_channels: _NAMES = ()
    monitor: bool = False

    @property
    def by_prefix(self) -> dict[bytes, tuple[bytes, ...]]:
        """The names, by the prefix of the commands that subscribe to them."""
        return {b"": self.channels, b"p": self.patterns, b"s": self.shard_channels}

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if self.monitor == bool(self.channels or self.patterns or self.shard_channels):
            raise ValueError("a subscriber has subscriptions or monitors, one of both")
        return self


class MaintenanceValue(Value):
    """Maintenance notifications that were asked for.

    @ivar told: the name of the event that ends what the client was told the beginning of; empty when there is none.
    @ivar sequence: the number of the last notification.
    """

    endpoint_type: bytes
    told: bytes
    sequence: Annotated[int, Field(ge=0, le=MAX_ID)]

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.endpoint_type not in ENDPOINT_TYPES or self.told not in (b"", *ENDS):
            raise ValueError("there is no such maintenance notification")
        return self


class ClientValue(Value):
    """One client's connection, but for its socket.

    Times are spans, because clocks of two processes have nothing in common.

    @ivar listener: the name of the listener that it has connected to, which says who may log in.
    @ivar peer, local: the addresses of the connection's ends, as CLIENT LIST shows them.
    @ivar subscription: None for a client that has none.
    @ivar dedicated: it has an uplink connection of its own although it has no state there.
    @ivar unread: what it has sent and nobody has taken, beginning with a command that was called back, if one was.
    @ivar unsent: replies that the kernel has not taken.
    """

    version: Literal[1] = 1
    id: Annotated[int, Field(ge=1, le=MAX_ID)]
    age_s: _SECONDS
    idle_s: _SECONDS
    listener: _TEXT
    peer: _TEXT
    local: _TEXT
    last_command: bytes
    session: SessionValue
    subscription: SubscriptionValue | None
    maintenance: MaintenanceValue | None
    dedicated: bool
    unread: bytes = Field(repr=False)
    unsent: bytes = Field(repr=False)

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if not valid_name(self.last_command):
            raise ValueError("the last command has no name of a command")
        session, monitors = self.session, self.subscription is not None and self.subscription.monitor
        if session.tracking is not None and monitors:
            raise ValueError("a client that monitors has CLIENT TRACKING on")
        if self.subscription is not None and session.transaction is not None:
            raise ValueError("a subscriber has a MULTI open")
        if session.skipped_waits and not self.unread:
            raise ValueError("the command that is skipped is not there")
        return self

    @property
    def needs_connection(self) -> bool:
        """Whether something has to be made at the server before the client may change over."""
        session = self.session
        return session.watching or session.tracking is not None or self.subscription is not None

    def to_bytes(self) -> bytes:
        """The form in which it goes to another process."""
        return self.model_dump_json().encode()


def from_bytes(data: bytes) -> ClientValue:
    """Read what another process has sent.

    @raise InvalidState: it is not a client's state, or of a version that this one does not read.
    """
    return read(ClientValue, data, "a client's state")


def read(kind: type[V], data: bytes, what: str) -> V:
    """Read a value.

    @param what: what it is to be, for the error.
    @raise InvalidState: it is not.
    """
    if len(data) > MAX_BYTES:
        raise InvalidState(f"{what} is larger than any can be: {len(data)} bytes")
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise InvalidState(_why(error, what)) from None


def _why(error: ValidationError, what: str) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    if where == "version":
        return f"{what} is of another version; this process reads version {VERSION}"
    return f"this is not {what}: {where + ': ' if where else ''}{first['msg']}"
