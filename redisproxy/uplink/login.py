"""The first commands on an uplink connection: who we are, which RESP version, which database.

HELLO does all of it but SELECT in one command and tells the server's version and the connection's id
(https://redis.io/docs/latest/commands/hello/). Servers older than Redis 6 do not know HELLO: AUTH serves there.
A server that runs a script answers HELLO and AUTH, and everything else with an error. One that loads its data, or a
replica that has none, answers all of that well: DBSIZE tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from redisproxy.forwarding.collector import Collector
from redisproxy.net.errors import DatabaseRefused, ServerBusy, UplinkError, UplinkRefused, is_busy
from redisproxy.resp import RespError, encode_command
from redisproxy.uplink.connection import UplinkConnection

CONNECTION_NAME = "redisproxy"
_WITHOUT_DATA = ("LOADING ", "MASTERDOWN ")
"""How a server begins its answers that has not got its data yet, or no more."""


@dataclass(frozen=True)
class Credentials:
    """User and password for the Redis server; neither is shown by C{repr}.

    Implements L{CredentialSource}: one that never changes.
    """

    user: str | None
    password: str | None
    due = False
    failures = 0

    def __repr__(self) -> str:
        return "Credentials(...)"

    def hello(self) -> tuple[str, ...]:
        """The AUTH part of a HELLO."""
        return ("AUTH", self.user or "default", self.password) if self.password is not None else ()

    def auth(self) -> tuple[str, ...]:
        """The arguments of an AUTH; empty when there is no password."""
        if self.password is None:
            return ()
        return (self.user, self.password) if self.user else (self.password,)

    @property
    def current(self) -> Credentials:
        return self

    def ask(self) -> Deferred[Credentials]:
        return succeed(self)

    def refused(self, credentials: Credentials) -> None:
        """Part of L{CredentialSource}: there are no others."""


class CredentialSource(Protocol):
    """Where user and password for a Redis server come from."""

    @property
    def current(self) -> Credentials | None:
        """What was told last; None before."""

    @property
    def due(self) -> bool:
        """Whether it is time to ask for others, because these expire."""

    @property
    def failures(self) -> int:
        """How often it had none when it was asked."""

    def ask(self) -> Deferred[Credentials]:
        """Fire with what to log in with now. Fails with L{UplinkError}. Can be cancelled."""

    def refused(self, credentials: Credentials) -> None:
        """The server does not take these."""


class Login:
    """Log one connection in.

    @param on_done: called once with None and the server's answer to HELLO (empty when it does not know HELLO), or with
        the error.
    @param ask_for_data: see whether the server has its data, which one with other connections has.
    """

    def __init__(
        self,
        connection: UplinkConnection,
        credentials: Credentials,
        on_done: Callable[[UplinkError | None, dict[bytes, object]], None],
        ask_for_data: bool = False,
    ) -> None:
        self._more = [("DBSIZE",)] if ask_for_data else []
        self._connection = connection
        self._credentials = credentials
        self._on_done = on_done

    def start(self) -> None:
        """Send the first commands."""
        hello = ("HELLO", str(self._connection.resp_version), *self._credentials.hello())
        self._send([hello, ("CLIENT", "SETNAME", CONNECTION_NAME)], self._hello_answered)

    def _send(self, commands: list[tuple[str, ...]], on_done: Callable[[list[object] | None], None]) -> None:
        commands = [*commands, *self._more, ("SELECT", str(self._connection.db))]
        data = b"".join(encode_command(*command) for command in commands)
        self._connection.submit_own(Collector(len(commands), on_done), data, len(commands))

    def _hello_answered(self, replies: list[object] | None) -> None:
        if replies is not None and isinstance(replies[0], RespError) and _unknown(replies[0]):
            self._fall_back(replies[0])
        else:
            self._finish(replies)

    def _fall_back(self, error: RespError) -> None:
        if self._connection.resp_version != 2:
            self._on_done(DatabaseRefused(f"ERR the server does not speak RESP3: {error.text}"), {})
            return
        auth = self._credentials.auth()
        self._send([("AUTH", *auth) if auth else ("PING",)], self._finish)

    def _finish(self, replies: list[object] | None) -> None:
        if replies is None:
            self._on_done(UplinkRefused("the connection was closed while logging in"), {})
            return
        first, selected = replies[0], replies[-1]
        if isinstance(first, RespError):
            self._on_done(UplinkRefused(f"the server answered: {first.text}"), {})
        elif without_data := [each.text for each in replies if isinstance(each, RespError) and _has_no_data(each)]:
            self._on_done(UplinkRefused(f"the server answered: {without_data[0]}"), {})
        elif isinstance(selected, RespError) and not (is_busy(selected.text) and self._connection.db == 0):
            self._on_done(_refusal(selected.text, self._connection.db), {})
        else:
            self._on_done(None, hello_fields(first))  # a new connection is on database 0 without SELECT


def hello_fields(reply: object) -> dict[bytes, object]:
    """Read HELLO's answer, a map in RESP3 and a flat list in RESP2; anything else is empty."""
    if isinstance(reply, dict):
        return reply
    if isinstance(reply, list) and len(reply) % 2 == 0:
        return dict(zip(reply[::2], reply[1::2], strict=True))
    return {}


def _has_no_data(error: RespError) -> bool:
    return error.text.startswith(_WITHOUT_DATA)


def _unknown(error: RespError) -> bool:
    return error.text.lower().startswith("err unknown command")


def _refusal(text: str, db: int) -> UplinkError:
    """What an error in reply to SELECT means. Database 0 everybody needs; another one may be a client's own fault."""
    if is_busy(text):
        return ServerBusy(text)
    return DatabaseRefused(text) if db else UplinkRefused(text)
