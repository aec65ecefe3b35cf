"""Plays the steps of a conversation on both sides and compares what comes back.

The first side, Redis alone, gets commands one by one, so that it is known which reply belongs to which. A step is
over on the first side when its server has nothing left to do, and on the second when as much has come back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.differential.differences import documented
from tests.differential.lists import words
from tests.differential.normalise import same
from tests.differential.sides import PATIENCE_S, Connection, Side, cut
from tests.differential.steps import A, B, Command, Form, Kind, Step

MUTE_S = 0.003
"""How long a command that has no reply may take."""
MESSAGE = Command((b"(message)",))
END = b"(end of stream)"
NOTHING = b"(nothing)"
SEVERAL = words("SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE QUIT")
DIGEST_EVERY = 40


@dataclass(frozen=True)
class Failure:
    """A difference: at which step, in the reply to which command, and the two replies."""

    step: int
    who: int
    command: Command
    theirs: bytes
    ours: bytes

    @property
    def signature(self) -> tuple[str, bytes, bytes]:
        """What a shorter conversation has to fail with to count as the same failure."""
        return self.command.name, self.theirs[:24], self.ours[:24]


class _Difference(Exception):
    def __init__(self, who: int, command: Command, theirs: bytes, ours: bytes) -> None:
        self.told = (who, command, theirs, ours)


class _Talk:
    """The state of one client: what it has sent, and what it is still to be told."""

    def __init__(self) -> None:
        self.expected: deque[tuple[Command, bytes, list[Command]]] = deque()
        self.unanswered: deque[Command] = deque()
        self.queued: list[Command] = []
        self.mute = False
        self.tracked = False
        self.subscriptions: dict[bool, int] = {}

    @property
    def special(self) -> bool:
        """Whether it waits, is subscribed or tracked, or gets no replies."""
        return bool(self.unanswered) or self.mute or self.tracked or any(self.subscriptions.values())

    def one_reply(self, command: Command) -> bool:
        """Whether a command gets exactly one reply, at once."""
        odd = command.waits or command.form is Form.RAW or command.name in SEVERAL
        changes = command.name == "CLIENT" and command.word(1) in ("REPLY", "KILL", "TRACKING")
        return not (odd or self.special or changes)

    def surely_answered(self, command: Command) -> bool:
        """Whether a reply to the command that was sent last has to come, and nothing stands before it."""
        waits = command.waits or command.form is Form.RAW or len(self.unanswered) > 1
        return not waits and (not self.mute or (command.name == "CLIENT" and command.word(2) == "ON"))

    def replied(self, command: Command, value: bytes) -> None:
        """The first side has answered."""
        self.expected.append((command, value, self.queued))
        if value == b"+QUEUED\r\n":
            self.queued.append(command)
        elif command.name in ("EXEC", "DISCARD", "RESET", "MULTI") and not value.startswith(b"-ERR MULTI"):
            self.queued = []


class Runner:
    """Both sides.

    @param reload: makes the proxy reload.
    @ivar record: when there is a list, what is sent and comes back is written there.
    @ivar tolerated: reasons of differences that are documented, and how often each was met.
    """

    def __init__(self, alone: Side, proxied: Side, reload: Callable[[], None]) -> None:
        self._alone, self._proxied, self._reload = alone, proxied, reload
        self._talks = [_Talk(), _Talk()]
        self.record: list[str] | None = None
        self.tolerated: dict[str, int] = {}

    def play(self, steps: Sequence[Step]) -> Failure | None:
        """Play one conversation from the beginning; the first difference, if there is one.

        After one the proxy's connections are not trusted any more, and it gets new ones.
        """
        failure = self._play(steps)
        if failure is not None:
            self._alone.disconnect()
            self._proxied.disconnect()
            self._reload()
        return failure

    def _play(self, steps: Sequence[Step]) -> Failure | None:
        self._talks = [_Talk(), _Talk()]
        for side in (self._alone, self._proxied):
            side.begin()
        for number, step in enumerate(steps):
            try:
                self._step(step)
                if number % DIGEST_EVERY == 0 or number == len(steps) - 1:
                    self._compare_data()
                if number == len(steps) - 1:
                    self._leave_both()
            except _Difference as difference:
                return Failure(number, *difference.told)
        return None

    def _leave_both(self) -> None:
        for side in (self._alone, self._proxied):
            side.disconnect()
        self._same_state((0, 0))

    def _compare_data(self) -> None:
        theirs, ours = self._alone.digest(), self._proxied.digest()
        if theirs != ours:
            raise _Difference(A, Command((b"(data)",)), theirs, ours)

    def _step(self, step: Step) -> None:
        if step.kind is Kind.RELOAD:
            self._note(step.who, "--", b"the proxy reloads")
            self._reload()
        elif step.kind is Kind.LEAVE:
            self._note(step.who, "--", b"leaves")
            self._leave(step.who)
        else:
            self._exchange(step)

    def _leave(self, who: int) -> None:
        self._talks[who] = _Talk()
        for side in (self._alone, self._proxied):
            side.reconnect(who)
        self._alone.settle()
        self._same_state()

    def _exchange(self, step: Step) -> None:
        sent: list[tuple[int, tuple[Command, ...]]] = [(step.who, step.commands)]
        if step.kind is Kind.TOGETHER:
            sent.append((1 - step.who, step.others))
        sent = [(who, commands) for who, commands in sent if not self._alone.clients[who].closed]
        special = self._special
        for who, commands in sent:
            self._send_alone(who, commands)
        if special or self._special:
            self._alone.settle()
        for who in (A, B):
            self._collect(who, MESSAGE)
        self._send_proxied(sent, step.cut)
        for who in (A, B):
            self._compare(who)
        if special or self._special:
            self._same_state()

    @property
    def _special(self) -> bool:
        """Whether either client waits, is subscribed, muted or closed: then more may come than replies, or less."""
        return any(talk.special for talk in self._talks) or any(client.closed for client in self._alone.clients)

    # -- the first side

    def _send_alone(self, who: int, commands: Sequence[Command]) -> None:
        run: list[Command] = []
        for command in commands:
            if self._talks[who].one_reply(command):
                run.append(command)
                continue
            self._send_run(who, run)
            self._send_one(who, command)
            run = []
        self._send_run(who, run)

    def _send_run(self, who: int, commands: Sequence[Command]) -> None:
        """Send commands each of which gets one reply."""
        client, talk = self._alone.clients[who], self._talks[who]
        client.send(b"".join(command.encode(self._alone.ids) for command in commands))
        talk.unanswered += commands
        while len(client.values) < len(commands) and client.receive(PATIENCE_S):
            pass
        self._collect(who, MESSAGE)

    def _send_one(self, who: int, command: Command) -> None:
        """Send a command that may get any number of replies."""
        client, talk = self._alone.clients[who], self._talks[who]
        data = command.encode(self._alone.ids)
        client.send(data)
        talk.unanswered.append(command)
        talk.mute |= command.name == "CLIENT" and command.word(1) == "REPLY" and command.word(2) in ("OFF", "SKIP")
        if talk.surely_answered(command):
            while not client.values and client.receive(PATIENCE_S):
                pass
        self._alone.settle(len(data))
        talk.mute &= not (command.word(1) == "REPLY" and bool(client.values))  # a subscriber may not
        self._collect(who, command)
        if not (command.waits or client.closed) and len(talk.unanswered) == 1:
            self._note(who, ">>", data)
            talk.unanswered.clear()  # it is not answered at all

    def _collect(self, who: int, command: Command) -> None:
        client, talk = self._alone.clients[who], self._talks[who]
        while client.values:
            value = client.values.popleft()
            if talk.unanswered:
                command = talk.unanswered.popleft()
                self._note(who, ">>", command.encode(self._alone.ids))
            self._note(who, "<<", value)
            talk.replied(command, value)
            talk.mute &= not (command.name == "CLIENT" and command.word(2) == "ON" and value == b"+OK\r\n")
            if command.name == "CLIENT" and command.word(1) == "TRACKING" and value == b"+OK\r\n":
                talk.tracked = command.word(2) == "ON"
            if command.name == "RESET":
                talk.subscriptions.clear()
                talk.mute = talk.tracked = False
            elif command.name in SEVERAL and value[:1] in b"*>":
                # Redis counts those to shard channels by themselves.
                talk.subscriptions[command.name in ("SSUBSCRIBE", "SUNSUBSCRIBE")] = int(value.rsplit(b":", 1)[1])

    # -- the second side

    def _send_proxied(self, sent: list[tuple[int, tuple[Command, ...]]], seed: int) -> None:
        parts = []
        for who, commands in sent:
            data = b"".join(command.encode(self._proxied.ids) for command in commands)
            parts.append((self._proxied.clients[who], cut(data, seed + who)))
        if len(parts) == 1:
            parts[0][0].send_cut(parts[0][1])
            return
        while any(pieces for _, pieces in parts):
            for client, pieces in parts:
                if pieces:
                    client.send(pieces.pop(0))

    def _compare(self, who: int) -> None:
        ours, talk = self._proxied.clients[who], self._talks[who]
        while talk.expected:
            command, theirs, queued = talk.expected.popleft()
            value = ours.next(PATIENCE_S)
            if value is None:
                raise self._differs(who, command, theirs, END if ours.closed else NOTHING)
            if not same(command, queued, theirs, value):
                reason = documented(command, value)
                if not reason:
                    raise self._differs(who, command, theirs, value)
                self.tolerated[reason] = self.tolerated.get(reason, 0) + 1
        self._compare_end(who, ours)

    def _compare_end(self, who: int, ours: Connection) -> None:
        closed = self._alone.clients[who].closed
        if self._talks[who].mute:
            time.sleep(MUTE_S)
        if closed:
            ours.next(PATIENCE_S)
        ours.drain()
        if ours.values:
            raise self._differs(who, MESSAGE, END if closed else NOTHING, ours.values[0])
        if ours.closed != closed:
            raise self._differs(who, MESSAGE, *((END, NOTHING) if closed else (NOTHING, END)))

    def _same_state(self, exactly: tuple[int, int] | None = None) -> None:
        """Compare how many clients are blocked, and subscribed, at both servers."""
        until = time.monotonic() + PATIENCE_S
        while (theirs := self._alone.state()) != (ours := self._proxied.state()) or exactly not in (None, theirs):
            if time.monotonic() > until:
                sides = ((theirs, self._alone), (ours, self._proxied))
                told = [b"blocked %d, subscribed %d\n" % state + side.listed() for state, side in sides]
                raise _Difference(A, Command((b"(state)",)), *told)

    def _differs(self, who: int, command: Command, theirs: bytes, ours: bytes) -> _Difference:
        self._note(who, "!!", ours)
        return _Difference(who, command, theirs, ours)

    def _note(self, who: int, sign: str, data: bytes) -> None:
        if self.record is not None:
            self.record.append(f"{'AB'[who]} {sign} {data[:200]!r}{f' ({len(data)} bytes)' if len(data) > 200 else ''}")
