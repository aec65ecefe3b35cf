"""Makes single commands for the scenes, fit for the state in which a client is."""

from __future__ import annotations

import random

from tests.differential import hand, lists, switches, values
from tests.differential.grammar import Grammar, spoiled
from tests.differential.steps import Command, Form, command

MAX_BATCH = 25
_NOTHING = [b"\r\n", b"*0\r\n", b"*-1\r\n", b"  \r\n", b"\n"]


class Maker:
    """Makes commands at random. @param reloads: the proxy may reload at any time."""

    def __init__(self, chance: random.Random, grammar: Grammar, reloads: bool) -> None:
        self._chance = chance
        self._grammar = grammar
        self._reloads = reloads
        self._keyed = [name for name in grammar.names if name not in lists.GLOBAL | lists.BLOCKING]

    def made(self, names: list[str] | None = None, prefix: bytes = b"", right: bool = False) -> Command:
        """Make a command from the grammar."""
        chance = self._chance
        while True:
            name = chance.choice(names or self._grammar.names)
            if name not in lists.RARE or chance.random() < 0.1:
                break
        args = self._grammar.make(chance, name, prefix)
        if chance.random() < 0.1 and not (prefix or right):
            args = spoiled(chance, args)
        return self._form(hand.tamed(args))

    def _form(self, args: list[bytes]) -> Command:
        chance = self._chance
        if chance.random() < 0.1:
            args = [args[0].lower() if chance.random() < 0.5 else args[0].title(), *args[1:]]
        inline = chance.random() < 0.05 and sum(map(len, args)) < 5000
        return Command(tuple(args), Form.INLINE if inline else Form.RESP)

    def plain(self, blocking: bool = True) -> Command:
        """Make a command that leaves the client's state as it is."""
        chance = self._chance
        choice = chance.random()
        if choice < 0.02:
            return Command(tuple(hand.large(chance)))
        if choice < 0.09:
            return self._form(list(chance.choice(lists.LINES)))
        if choice < 0.11:
            load: list[bytes] = [b"LOAD", chance.choice(values.SCRIPTS)]
            exist: list[bytes] = [b"EXISTS", *chance.sample(values.HASHES, 2)]
            return command("SCRIPT", *chance.choice([load, exist]))
        names = None if blocking else [name for name in self._grammar.names if name not in lists.BLOCKING]
        return self.made(names)

    def some(self) -> list[Command]:
        """Make one command, or some that belong together, for outside of MULTI."""
        chance = self._chance
        choice = chance.random()
        if choice < 0.07:
            return [self._form(list(chance.choice(lists.CLIENT_LINES)))]
        if choice < 0.10:
            return [Command(tuple(chance.choice(lists.SELECTS)))]
        if choice < 0.12:
            return [Command(tuple(chance.choice(lists.HELLOS)))]
        if choice < 0.13:
            return [Command(tuple(chance.choice(lists.REFUSED)))]
        if choice < 0.14:
            return [Command((chance.choice(_NOTHING),), Form.RAW)]
        if choice < 0.145:
            return [
                command(chance.choice(["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"]), *chance.choice([(), ("ch1",)]))
            ]
        if choice < 0.16:
            return [command("CLIENT", "REPLY", "SKIP"), self.plain(blocking=False), command("CLIENT", "REPLY", "ON")]
        return [self.plain()]

    def batch(self) -> list[Command]:
        return [each for _ in range(self._chance.randint(1, MAX_BATCH)) for each in self.some()]

    def independent(self, prefix: bytes) -> list[Command]:
        chance = self._chance
        if chance.random() < 0.04:
            return [Command(tuple(hand.large(chance, prefix)))]
        made = [self.made(self._keyed, prefix) for _ in range(chance.randint(1, 4))]
        return [command("MULTI"), *made, command("EXEC")] if chance.random() < 0.2 else made

    def inside(self) -> Command:
        chance = self._chance
        if self._reloads:
            # A MULTI with an error is given up in a reload, and scripts in it are loaded although it has not run.
            return self.made(self._keyed, right=True)
        choice = chance.random()
        if choice < 0.03:
            return command(chance.choice(["MULTI", "UNWATCH", "FOO", "GET"]))
        if choice < 0.05:
            return command("WATCH", "s1")
        if choice < 0.08:
            return Command(tuple(chance.choice(lists.SELECTS)))
        if switches.LOCAL_INSIDE_MULTI and choice < 0.12:
            return self._form(list(chance.choice(lists.CLIENT_LINES)))
        if switches.REFUSED_INSIDE_MULTI and choice < 0.14:
            return Command(tuple(chance.choice(lists.REFUSED)))
        return next(made for made in iter(self.plain, None) if made.name not in ("EXEC", "DISCARD", "ACL", "CONFIG"))

    def wait(self) -> tuple[Command, Command]:
        chance = self._chance
        key = f"w{chance.randint(1, 3)}"
        timeout = chance.choice(["0", "100", "60.5"])
        push = command(chance.choice(["LPUSH", "RPUSH"]), "L" + key, *range(chance.randint(1, 3)))
        add = command("ZADD", "Z" + key, "1", "m", "2", "n")
        entry = command("XADD", "X" + key, f"{chance.randint(1, 9)}-{chance.randint(1, 9)}", "f", "v")
        words: list[tuple[Command, list[str]]] = [
            (push, [chance.choice(["BLPOP", "BRPOP"]), "nokey", "L" + key, timeout]),
            (push, ["BRPOPLPUSH", "L" + key, chance.choice(["l1", "s1", "L" + key]), timeout]),
            (push, ["BLMOVE", "L" + key, "l2", "LEFT", "RIGHT", timeout]),
            (push, ["BLMPOP", timeout, "2", "nokey", "L" + key, "RIGHT", "COUNT", "2"]),
            (add, [chance.choice(["BZPOPMIN", "BZPOPMAX"]), "Z" + key, timeout]),
            (add, ["BZMPOP", timeout, "1", "Z" + key, "MAX"]),
            (entry, ["XREAD", "BLOCK", "0", "STREAMS", "X" + key, chance.choice(["$", "5-5", "0"])]),
            (entry, ["XREADGROUP", "GROUP", "g1", "c1", "BLOCK", "0", "STREAMS", "x1", ">"]),
        ]
        serving, waiting = chance.choice(words)
        return command(*waiting, waits=True), serving

    def subscribe(self) -> Command:
        chance = self._chance
        channels = chance.sample(["ch1", "ch2", "ch3", ""], chance.randint(1, 3))
        name = chance.choice(["SUBSCRIBE", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"])
        if name == "SSUBSCRIBE":
            channels = [channel.replace("c", "s") for channel in channels]
        return command(name, *(["ch1*", "ch[23]", "oth*"][: len(channels)] if name == "PSUBSCRIBE" else channels))

    def publish(self) -> Command:
        chance = self._chance
        text = chance.choice([b"hi", b"", b"\r\n*1\r\n", b"m" * 5000, b"m" * 70000])
        kind = chance.random()
        if kind < 0.6:
            return command("PUBLISH", chance.choice(["ch1", "ch2", "ch3", "", "other"]), text)
        if kind < 0.75:
            return command("SPUBLISH", chance.choice(["sh1", "sh2"]), text)
        if kind < 0.85:
            return command("EVAL", "return redis.call('publish','ch1','from Lua')", 0)
        return command(
            "PUBSUB",
            *chance.choice(
                [("NUMSUB", "ch1", "ch2"), ("NUMPAT",), ("CHANNELS",), ("SHARDNUMSUB", "sh1"), ("SHARDCHANNELS",)]
            ),
        )

    def as_tracked(self) -> list[Command]:
        """Make one command, or two that belong together, for a client with CLIENT TRACKING on."""
        chance = self._chance
        if chance.random() < 0.8:
            return [self.plain(blocking=False)]
        line = list(chance.choice(lists.TRACKING_LINES))
        return [self._form(line)] + [self.plain(blocking=False)] * (line[1:2] == [b"CACHING"])

    def as_subscriber(self) -> Command:
        chance = self._chance
        choice = chance.random()
        if choice < 0.3:
            return command("PING", *chance.choice([(), ("x",), ("x", "y")]))
        if choice < 0.5:
            return self.subscribe()
        if choice < 0.6:
            return command(chance.choice(["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"]), "ch1", "ch[23]", "sh1")
        if choice < 0.65:
            return command(chance.choice(["SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"]))
        made = self.plain(blocking=False)
        while made.name in lists.STATEFUL | {"ACL", "CONFIG"} or made.name in lists.BLOCKING:
            made = self.plain(blocking=False)
        return made
