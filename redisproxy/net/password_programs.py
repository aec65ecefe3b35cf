"""Passwords that programs print: what a program has said serves for some time, and for all that ask meanwhile.

Each process asks by itself, because one that carries commands goes on without the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net import program
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.net.program import Ended, ProgramFailed

MAX_PASSWORD_BYTES = 16384
MOST_PROGRAMS = 16
AGAIN_S = 2.0
"""Before a program that has failed is asked again ahead of time; a login asks at once."""
RENEW_AT = 0.75
"""The part of its time after which a password is asked for anew."""
SHORTEST_SECRET = 4


class PasswordPrograms:
    """The programs of one process."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._by_command: dict[tuple[str, ...], PasswordProgram] = {}

    def of(self, command: Sequence[str], ttl_s: float, limit_s: float) -> PasswordProgram:
        """The program with these arguments; what it has said is known still.

        @param ttl_s: how long a password that it prints can be used; 0 asks it for each login.
        @param limit_s: how long it may take.
        """
        found = self._by_command.pop(tuple(command), None) or PasswordProgram(tuple(command), self._reactor)
        found.ttl_s, found.limit_s = ttl_s, limit_s
        self._by_command[found.command] = found
        while len(self._by_command) > MOST_PROGRAMS:
            del self._by_command[next(iter(self._by_command))]
        return found


class PasswordProgram:
    """One program, and what it has said.

    @ivar password: what it has printed last; None before it has.
    @ivar error: why it has printed nothing the last time; empty when it did. @ivar failures: how often that was.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(self, command: tuple[str, ...], reactor: Any) -> None:
        self.command = command
        self.ttl_s = self.limit_s = 0.0
        self.password: str | None = None
        self.error = ""
        self.failures = 0
        self._reactor = reactor
        self._waiting: list[Deferred[str]] = []
        self._running = False
        self._asked_at = self._printed_at = 0.0
        self._stale = False

    def ask(self) -> Deferred[str]:
        """Fire with a password: the one that there is while it can be used, else a new one.

        While the program fails, the one before goes on. Fails with L{UplinkUnavailable}: there is none. Can be
        cancelled; the program goes on for whoever else waits.
        """
        if self.password is not None and not self._stale and self._age_s < self.ttl_s * RENEW_AT:
            return succeed(self.password)
        asked: Deferred[str] = Deferred(self._forget)
        self._waiting.append(asked)
        if not self._running:
            self._run()
        return asked

    @property
    def due(self) -> bool:
        """Whether it is time to ask before the password expires."""
        waited = self._reactor.seconds() - self._asked_at >= AGAIN_S
        return self.ttl_s > 0 and not self._running and waited and self._age_s >= self.ttl_s * RENEW_AT

    def refused(self, password: str | None) -> None:
        """The server does not take `password`: do not use it for the next login, whatever its age."""
        self._stale = self._stale or password == self.password

    @property
    def _age_s(self) -> float:
        age_s: float = self._reactor.seconds() - self._printed_at
        return age_s

    def _forget(self, asked: Deferred[str]) -> None:
        if asked in self._waiting:
            self._waiting.remove(asked)

    def _run(self) -> None:
        self._running, self._asked_at = True, self._reactor.seconds()
        running = program.run(self._reactor, self.command, self.limit_s, max_output=MAX_PASSWORD_BYTES)
        running.addCallbacks(self._ended, self._not_started)

    def _not_started(self, failure: Failure) -> None:
        failure.trap(ProgramFailed)
        self._failed(failure.getErrorMessage(), "")

    def _ended(self, ended: Ended) -> None:
        try:
            password = _password_in(ended, self.limit_s)
        except ValueError as error:
            self._failed(str(error), _last_line(ended, self.password))
            return
        if self.error:
            self.log.info("passcommand: it has printed a password again")
        self.password, self.error, self._stale = password, "", False
        self._printed_at = self._asked_at
        self._answer()

    def _failed(self, why: str, said: str) -> None:
        self.failures += 1
        if why != self.error:
            goes_on = "; the password before stays in use" if self.password is not None else ""
            self.log.error("passcommand: {why}{goes_on}{said}", why=why, goes_on=goes_on, said=said)
        self.error = why
        self._answer()

    def _answer(self) -> None:
        self._running = False
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if self.password is not None:
                each.callback(self.password)
            else:
                fail(UplinkUnavailable(f"passcommand: {self.error}")).chainDeferred(each)


def _password_in(ended: Ended, limit_s: float) -> str:
    """
    @raise ValueError: there is none; the text has nothing of what was printed.
    """
    if ended.late:
        raise ValueError(f"it has not ended within {limit_s:g} s (pass_timeout_ms)")
    if ended.how:
        raise ValueError(f"it has failed with {ended.how}")
    if ended.cut:
        raise ValueError(f"it has printed more than {MAX_PASSWORD_BYTES} bytes")
    try:
        password = ended.output.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("what it has printed is not UTF-8") from None
    if not password or "\n" in password:
        raise ValueError("it has not printed exactly one line")
    return password


def _last_line(ended: Ended, known: str | None) -> str:
    """The last line of its standard error, without what may be a password."""
    lines = ended.errors.decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    secrets = {*ended.output.decode("utf-8", "replace").split(), *([known] if known else [])}
    for secret in sorted((each for each in secrets if len(each) >= SHORTEST_SECRET), key=len, reverse=True):
        last = last.replace(secret, "[removed]")
    shown = "".join(each if each.isprintable() else "?" for each in last)[:200]
    return f" (its last words: {shown})" if shown else ""
