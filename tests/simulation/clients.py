"""The clients: each sends what its seed tells it to, checks every reply, and keeps the history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import hiredis
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from redisproxy.resp import encode_command
from tests.simulation.history import Op
from tests.simulation.network import End

if TYPE_CHECKING:
    from tests.simulation.world import World

MISSING = object()
GONE = object()
"""What an answer fires with that will never come."""
FAULT_ERRORS = ("MASTERDOWN", "NOREPLICAS", "READONLY", "EXECABORT", "UNBLOCKED")
EARLY_S = 0.01

Command = list[bytes | str | int]


class ReplyError(Exception):
    """An error reply."""


class Gone(Exception):
    """The connection was closed."""


class Wire:
    """The client's end of its connection: sends requests, and hands each reply to whoever waits for it, in order.

    @ivar on_push: takes messages that are no replies.
    """

    def __init__(self, world: World, name: str, end: End) -> None:
        self.world = world
        self.name = name
        self.end = end
        self.gone = self.injected = False
        self.on_push: Callable[[list[Any]], None] = self._unasked
        self.pending: deque[tuple[Deferred[Any], str]] = deque()
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=MISSING)
        end.protocol = self

    def send(self, *commands: Command, cut: int | None = None) -> list[Deferred[Any]]:
        """Send commands in one write, or in two when cut; return their replies."""
        if self.gone:
            raise Gone
        answers: list[Deferred[Any]] = []
        for command in commands:
            answer: Deferred[Any] = Deferred()
            answers.append(answer)
            text = " ".join(str(each)[:30] for each in command)
            self.pending.append((answer, text))
            self.world.note(self.name, f"> {text}")
        data = b"".join(encode_command(*command) for command in commands)
        if cut is None:
            self.end.write(data)
        else:
            self.end.write(data[:cut])
            self.world.clock.at(self.world.chance.random() * 0.05, self.end.write, data[cut:])
        return answers

    def dataReceived(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not MISSING:
                if isinstance(reply, hiredis.PushNotification):
                    self.world.note(self.name, f"< {str(list(reply))[:60]}")
                    self.on_push(list(reply))
                    continue
                if not self.pending:
                    self.world.fail(f"{self.name}: a reply to nothing: {reply!r}")
                answer, _ = self.pending.popleft()
                self.world.note(self.name, f"< {str(reply)[:60]}")
                answer.callback(reply)
        except hiredis.ProtocolError as error:
            self.world.fail(f"{self.name}: what came is no reply: {error}")

    def _unasked(self, push: list[Any]) -> None:
        self.world.fail(f"{self.name}: a message that it has not asked for: {push}")

    def connectionLost(self, reason: Failure) -> None:
        self.gone = True
        self.world.note(self.name, f"! {reason.value.__class__.__name__}, {len(self.pending)} unanswered")
        pending, self.pending = self.pending, deque()
        self.world.connection_over(self, bool(pending))
        for answer, _ in pending:
            answer.callback(GONE)


def _unless_gone(reply: Any, check: Callable[[Any], None]) -> Any:
    return reply if reply is GONE else check(reply)


class Client:
    """One client and what it does.

    @ivar waits: what it is doing now. @ivar stateful: it has something at the server that a lost connection takes.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"client-{number}"
        self.chance = Random(f"{world.seed} {self.name}")
        self.wire: Wire = None  # type: ignore[assignment]
        self.db = 0
        self.waits = ""
        self.stateful = False
        self.leaving = False
        self._unique = 0
        self._group = number * 1000000
        self._id = 0
        self._works: list[Callable[[], Any]] = [
            self.pipeline, self.pipeline, self.pipeline, self.pipeline, self.transaction, self.transaction, self.cas,
            self.cas, self.blpop, self.blpop, self.blpop, self.select, self.hello, self.large, self.slow, self.identity,
            self.refused,
        ]  # fmt: skip

    # -- the whole

    async def run(self, operations: int) -> None:
        """Do this many operations, and reconnect whenever the connection is lost."""
        left = operations
        while left > 0 and not self.world.ending:
            self.wire = self.world.connect(self.name)
            self.stateful = self.leaving = False
            self.db = self._id = 0
            try:
                await self._begin()
                for _ in range(min(left, self.chance.randint(1, operations))):
                    left -= 1
                    work = self.chance.choice(self._works)
                    self.waits = work.__name__
                    await work()
                    self.waits = ""
                    await self._sleep(self.chance.choice((0, 0, 0.001, 0.02, 0.1)))
                await self._leave()
            except Gone:
                await self._sleep(self.chance.random() * 0.1)
        self.waits = ""

    async def _begin(self) -> None:
        if self.world.password:
            await self._expect("OK", "AUTH", self.world.password)
        await self.select()

    @staticmethod
    async def _get(answer: Deferred[Any]) -> Any:
        reply = await answer
        if reply is GONE:
            raise Gone
        return reply

    async def _leave(self) -> None:
        wire, how = self.wire, self.chance.randrange(6)
        self.waits = f"leave {how}"
        if how == 0:
            await self._expect("OK", "QUIT")
        elif how in (1, 2):
            answers = self._pipelined(self.chance.randint(1, 5))
            if how == 1:
                self.leaving = True
                wire.end.loseWriteConnection()
            for answer in answers:
                await self._get(answer)
        elif how == 3:
            self._pipelined(self.chance.randint(1, 5))
        elif how == 4:
            data = encode_command("SET", "half", "x" * 100)
            wire.end.write(data[: self.chance.randint(1, len(data) - 1)])
        self.leaving = True
        if how == 5:
            wire.end.abortConnection()
        elif how != 1:
            wire.end.loseConnection()
        while not wire.gone:
            await self._sleep(0.01)

    # -- asking

    async def _ask(self, *command: bytes | str | int) -> Any:
        (answer,) = self.wire.send(list(command))
        reply = await self._get(answer)
        if isinstance(reply, ReplyError):
            self._judge(reply, command)
        return reply

    def _judge(self, error: ReplyError, command: Any) -> None:
        """Judge a reply: errors are allowed only in worlds in which something fails."""
        self.world.judge_error(self.wire, str(error))
        if not (self.world.faulty and str(error).startswith(FAULT_ERRORS)):
            self.world.fail(f"{self.name}: {str(command)[:80]} was answered with {error}")

    async def _expect(self, expected: Any, *command: bytes | str | int) -> None:
        reply = await self._ask(*command)
        if isinstance(reply, ReplyError):
            self.wire.end.abortConnection()
            self.leaving = True
            raise Gone
        self._same(reply, expected, command)

    def _same(self, reply: Any, expected: Any, command: Any) -> None:
        plain = reply.decode() if isinstance(reply, bytes) and isinstance(expected, str) else reply
        if plain != expected:
            self.world.fail(
                f"{self.name}: {str(command)[:80]} was answered with {str(reply)[:80]!r}, not {str(expected)[:80]!r}"
            )

    def _sleep(self, seconds: float) -> Deferred[None]:
        slept: Deferred[None] = Deferred()
        self.world.clock.at(seconds, slept.callback, None)
        return slept

    def _token(self) -> bytes:
        self._unique += 1
        return f"{self.name}-{self._unique}".encode()

    def _key(self, kind: str) -> bytes:
        return f"{self.db}:{kind}-{self.chance.randrange(2)}".encode()

    def _op(self, kind: str, key: bytes, value: Any = None, group: int = 0) -> Op:
        now = self.world.clock.seconds()
        return self.world.history.add(Op(kind, (self.db, key), self.name, now, value, group=group))

    def _done(self, op: Op, reply: Any) -> None:
        """Note that an operation was answered; with an error, it took no effect."""
        if isinstance(reply, ReplyError):
            self._judge(reply, op)
            op.refused()
        else:
            op.answered(self.world.clock.seconds(), reply)

    # -- what it does

    async def pipeline(self) -> None:
        """Send simple commands, one or several at once."""
        for answer in self._pipelined(self.chance.choice((1, 1, 2, 5, 12))):
            await self._get(answer)

    def _pipelined(self, count: int) -> list[Deferred[Any]]:
        made = [self._simple() for _ in range(count)]
        size = sum(len(encode_command(*command)) for command, _ in made)
        cut = self.chance.randrange(size) if size and self.chance.random() < 0.2 else None
        answers = self.wire.send(*(command for command, _ in made), cut=cut)
        for answer, (_, check) in zip(answers, made, strict=True):
            answer.addCallback(_unless_gone, check)
        return answers

    def _simple(self) -> tuple[Command, Callable[[Any], None]]:
        kind = self.chance.choice(("echo", "echo", "set", "get", "incr", "push", "push", "pop"))
        if kind == "echo":
            token = self._token()
            return ["ECHO", token], lambda reply: self._echoed(token, reply)
        if kind == "set":
            op = self._op("set", self._key("reg"), self._token())
            return ["SET", op.place[1], op.value], lambda reply: self._set(op, reply)
        if kind == "get":
            op = self._op("get", self._key("reg"))
            return ["GET", op.place[1]], lambda reply: self._done(op, b"" if reply is None else reply)
        if kind == "incr":
            op = self._op("incr", self._key("cnt"))
            return ["INCR", op.place[1]], lambda reply: self._done(op, reply)
        if kind == "push":
            op = self._op("push", self._key("lst"), self._token())
            return ["RPUSH", op.place[1], op.value], lambda reply: self._set(op, reply)
        op = self._op("pop", self._key("lst"))
        return ["LPOP", op.place[1]], lambda reply: self._done(op, reply)

    def _echoed(self, token: bytes, reply: Any) -> None:
        if isinstance(reply, ReplyError):
            self._judge(reply, "ECHO")
        else:
            self._same(reply, token, "ECHO")

    def _set(self, op: Op, reply: Any) -> None:
        self._done(op, op.value if not isinstance(reply, ReplyError) else reply)

    async def transaction(self) -> None:
        """Push twice and increment in a transaction: all or nothing."""
        self._group += 1
        ops = [
            self._op("push", self._key("lst"), self._token(), self._group),
            self._op("incr", self._key("cnt")),
            self._op("push", self._key("lst"), self._token(), self._group),
        ]
        names = {"push": "RPUSH", "incr": "INCR"}
        body: list[Command] = [[names[op.kind], op.place[1], *([op.value] if op.kind == "push" else [])] for op in ops]
        discard = self.chance.random() < 0.1
        last: Command = ["DISCARD" if discard else "EXEC"]
        replies: list[Any] = []
        if self.chance.random() < 0.4:
            for answer in self.wire.send(["MULTI"], *body, last):
                replies.append(await self._get(answer))
        else:
            self.stateful = True
            commands: list[Command] = [["MULTI"], *body, last]
            for each in commands:
                (answer,) = self.wire.send(each)
                replies.append(await self._get(answer))
                await self._sleep(self.chance.choice((0, 0.001, 0.03)))
            self.stateful = False
        self._transacted(ops, replies, discard)

    def _transacted(self, ops: list[Op], replies: list[Any], discard: bool) -> None:
        *queued, result = replies
        errors = [reply for reply in replies if isinstance(reply, ReplyError)]
        for error in errors:
            if not (self.world.faulty and "without MULTI" in str(error)):
                self._judge(error, "a transaction")
        if errors or discard:
            for op in ops:
                op.refused()
            if not errors:
                self._same(result, b"OK", "DISCARD")
            elif isinstance(result, list):
                self.world.fail(f"{self.name}: EXEC after an error: {replies}")
            return
        self._same(queued, [b"OK", b"QUEUED", b"QUEUED", b"QUEUED"], "MULTI")
        if not isinstance(result, list) or len(result) != len(ops):
            self.world.fail(f"{self.name}: EXEC was answered with {result!r}")
        for op, reply in zip(ops, result, strict=True):
            self._done(op, op.value if op.kind == "push" else reply)

    async def cas(self) -> None:
        """Read a watched number and write the next one, unless somebody else has."""
        key = f"{self.db}:cas-0".encode()
        self.stateful = True
        if isinstance(await self._ask("WATCH", key), ReplyError):
            return
        value = await self._ask("GET", key)
        if isinstance(value, ReplyError):
            await self._ask("UNWATCH")
            return
        await self._sleep(self.chance.choice((0, 0.02, 0.2)))
        if self.chance.random() < 0.1:
            await self.blpop()
            self.stateful = True
        await self._ask("MULTI")
        op = self._op("cas", key, int(value or 0) + 1)
        (answer,) = self.wire.send(["SET", key, op.value])
        queued = await self._get(answer)
        await self._sleep(self.chance.choice((0, 0, 0.05, 0.2)))
        (answer,) = self.wire.send(["EXEC"])
        result = await self._get(answer)
        self.stateful = False
        if isinstance(result, ReplyError):
            if not isinstance(queued, ReplyError):
                self._judge(result, "EXEC")
            op.refused()
        elif result is None:
            op.refused()
        else:
            self._same(result, [b"OK"], "EXEC")
            op.answered(self.world.clock.seconds())

    async def blpop(self) -> None:
        """Wait for something to work on, sometimes with more commands behind it."""
        op = self._op("blpop", self._key("lst"))
        timeout_s = self.chance.choice((0.05, 0.3, 1, 3))
        if timeout_s == 3 and self.world.idle_resets.active:
            timeout_s = 15  # longer than a pause waits for what is in flight
        token = self._token()
        commands: list[Command] = [["BLPOP", op.place[1], str(timeout_s)]]
        if self.chance.random() < 0.3:
            commands.append(["ECHO", token])
        began = self.world.clock.seconds()
        answer, *others = self.wire.send(*commands)
        reply = await self._get(answer)
        took = self.world.clock.seconds() - began
        if reply is None and took < timeout_s - EARLY_S:
            self.world.fail(f"{self.name}: BLPOP for {timeout_s} s ended after {took:.3f} s")
        if isinstance(reply, list):
            self._same(reply[0], op.place[1], "BLPOP")
        self._done(op, reply[1] if isinstance(reply, list) else reply)
        for other in others:
            self._echoed(token, await self._get(other))

    async def select(self) -> None:
        """Go to another database."""
        db = self.chance.randrange(3)
        reply = await self._ask("SELECT", db)
        if not isinstance(reply, ReplyError):
            self._same(reply, b"OK", "SELECT")
            self.db = db

    async def hello(self) -> None:
        """Change the protocol version."""
        version = self.chance.choice((2, 3))
        reply = await self._ask("HELLO", version)
        if not isinstance(reply, ReplyError):
            fields = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
            self._same(fields[b"proto"], version, "HELLO")
            if not self.world.faulty:
                self._same(fields[b"role"], b"master", "HELLO")

    async def large(self) -> None:
        """Send a command that is too large for the proxy to hold."""
        value = self._token() * 4000
        self._echoed(value, await self._ask("ECHO", value))

    async def slow(self) -> None:
        """Ask for a lot and read it late."""
        tokens = [self._token() * self.chance.choice((1, 300)) for _ in range(8)]
        end = self.wire.end
        end.pauseProducing()
        commands: list[Command] = [["ECHO", token] for token in tokens]
        answers = self.wire.send(*commands)
        self.world.clock.at(self.chance.random() * 0.5, end.resumeProducing)
        for token, answer in zip(tokens, answers, strict=True):
            self._echoed(token, await self._get(answer))

    async def identity(self) -> None:
        """Check that the client id stays the same for as long as the connection lives."""
        number = await self._ask("CLIENT", "ID")
        if self._id and number != self._id:
            self.world.fail(f"{self.name}: CLIENT ID was {self._id} and is {number}")
        if self.world.ids.setdefault(number, self.wire) is not self.wire:
            self.world.fail(f"{self.name}: CLIENT ID is {number}, which another connection has had")
        self._id = number

    async def refused(self) -> None:
        """Send a command that the proxy refuses."""
        (answer,) = self.wire.send(["MONITOR"])
        if not isinstance(await self._get(answer), ReplyError):
            self.world.fail(f"{self.name}: MONITOR was not refused")
