"""Writes conversations: scenes of two clients, one after another or within one another.

A scene leaves its clients as they were, so that the writer knows what each client may send, and what would meet one of
the differences that are documented and change what comes after (a RESP3 subscriber can't use MULTI, for example).
"""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.differential import lists, switches, values
from tests.differential.grammar import Grammar
from tests.differential.making import Maker
from tests.differential.steps import ID, Command, Form, Kind, Step, command

_BROKEN = [
    b'PING "a\r\n',
    b"PING 'a'b\r\n",
    b"*1\r\n$-1\r\n",
    b"*1\r\n$x\r\n",
    b"*x\r\n",
    b"*1\r\n+4\r\n",
    b"*1\r\n$536870913\r\n",
    b"*2147483648\r\n",
    b"*1\r\n$3\r\nGETX\r\n",
    b"*2\r\n$4\r\nPING\r\n:1\r\n",
]
_HTTP = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"


class Writer:
    """Writes one conversation.

    @param reloads: put reloads of the proxy between steps.
    """

    def __init__(self, chance: random.Random, grammar: Grammar, reloads: bool = False) -> None:
        self._chance = chance
        self._make = Maker(chance, grammar, reloads)
        self._reloads = reloads
        self._watching = 0
        self._busy: set[int] = set()
        self.steps: list[Step] = []

    def write(self, commands: int) -> list[Step]:
        """Write a conversation of about this many commands."""
        self._setup()
        while sum(step.size for step in self.steps) < commands:
            self._scene(self._chance.randrange(2), 0)
        return self.steps

    def _setup(self) -> None:
        """Make streams with groups, and libraries, which chance rarely makes."""
        made = [command("XGROUP", "CREATE", f"x{at}", "g1", "0", "MKSTREAM") for at in (1, 2)]
        made += [command("XADD", f"x{at}", f"{at}-1", "f1", "v") for at in (1, 2, 3)]
        made += [command("FUNCTION", "LOAD", values.LIBRARIES[at]) for at in (0, 1)]
        made += [
            command("RPUSH", "l1", *range(6)),
            command("GEOADD", "g1", "13.36", "38.11", "1", "15.08", "37.5", "2"),
        ]
        self._send(0, *made)
        self._send(1, *[command("HELLO", 3)] * self._chance.randrange(2))

    # -- steps

    def _send(self, who: int, *commands: Command) -> None:
        self._maybe_reload()
        self.steps.append(Step(Kind.SEND, who, tuple(commands), cut=self._chance.randrange(1 << 30)))

    def _maybe_reload(self) -> None:
        if self._reloads and not self._watching and self._chance.random() < 0.15:
            self.steps.append(Step(Kind.RELOAD))

    def _leave(self, who: int) -> None:
        self.steps.append(Step(Kind.LEAVE, who))

    def _scene(self, who: int, depth: int) -> None:
        scenes: list[tuple[int, Callable[[int, int], None]]] = [(40, self._talk), (20, self._transaction)]
        if not depth:
            scenes += [
                (8, self._together),
                (10, self._served),
                (10, self._subscribed),
                (6, self._tracked),
                (5, self._muted),
                (4, self._ending),
                (3, self._killed),
            ]
        weights = [weight for weight, _ in scenes]
        self._chance.choices([scene for _, scene in scenes], weights)[0](who, depth)

    def _meanwhile(self, who: int, depth: int) -> None:
        """The other client does something, perhaps."""
        if 1 - who not in self._busy and self._chance.random() < 0.5:
            self._busy.add(who)
            self._scene(1 - who, depth + 1)
            self._busy.discard(who)

    # -- scenes

    def _talk(self, who: int, depth: int) -> None:
        self._send(who, *self._make.batch())

    def _together(self, who: int, depth: int) -> None:
        """Both clients send at once; their keys have nothing to do with each other."""
        self._maybe_reload()
        both = [
            tuple(
                each
                for _ in range(self._chance.randint(2, 12))
                for each in self._make.independent(b"ab"[at : at + 1] + b":")
            )
            for at in range(2)
        ]
        self.steps.append(Step(Kind.TOGETHER, who, both[who], both[1 - who], self._chance.randrange(1 << 30)))

    def _transaction(self, who: int, depth: int) -> None:
        chance = self._chance
        watch = chance.random() < 0.35
        self._watching += watch
        if watch:
            keys = [values.key(chance, "") for _ in range(chance.randint(1, 3))]
            between = [self._make.plain() for _ in range(chance.randrange(3))]
            between += [command("UNSUBSCRIBE")] * (switches.UNSUBSCRIBE_WHILE_WATCHING and chance.random() < 0.2)
            self._send(who, command("WATCH", *keys), *between)
            self._meanwhile(who, depth)
        body = [self._make.inside() for _ in range(chance.choice([0, 1, 2, 3, 5, 8, 20]))]
        ends = [("EXEC",)] * 8 + [("DISCARD",)] * 2 + [("EXEC", "x"), ("DISCARD", "x")] + [("RESET",)] * (depth < 2)
        end = chance.choice(ends)
        self._in_parts(who, [command("MULTI"), *body, command(*end)], depth)
        if len(end) > 1:
            self._send(who, command("DISCARD"))
        if (end[0] == "EXEC" and len(end) > 1) or chance.random() < 0.1:
            self._send(who, command("UNWATCH"))
        self._watching -= watch

    def _in_parts(self, who: int, commands: list[Command], depth: int) -> None:
        """Send the commands in one or more steps, and let the other client come between."""
        chance = self._chance
        if chance.random() < 0.5:
            self._send(who, *commands)
            return
        while commands:
            size = chance.randint(1, len(commands))
            self._send(who, *commands[:size])
            commands = commands[size:]
            if commands:
                self._meanwhile(who, depth)

    def _served(self, who: int, depth: int) -> None:
        """A client blocks, others go on, and one of them serves it, or ends its wait."""
        chance, other = self._chance, 1 - who
        waiting, serving = self._make.wait()
        before = [self._make.plain() for _ in range(chance.randrange(3))]
        after = [self._make.plain(blocking=False) for _ in range(chance.randrange(4))]
        after = [each for each in after if switches.LARGE_BEHIND_BLOCKED or sum(map(len, each.args)) < 5000]
        self._send(who, *before, waiting, *after)
        for _ in range(chance.randrange(2)):
            self._send(other, *[self._make.plain(blocking=False) for _ in range(chance.randint(1, 5))])
        if chance.random() < 0.15:
            self._leave(who)
            return
        how = chance.choice([("TIMEOUT",), ("ERROR",), ()])
        serves, unblocks = [serving] if chance.random() < 0.8 else [], command("CLIENT", "UNBLOCK", ID[who], *how)
        for commands in [[*serves, unblocks]] if switches.UNBLOCK_AT_ONCE else [serves, [unblocks]]:
            self._send(other, *commands)

    def _muted(self, who: int, depth: int) -> None:
        chance = self._chance
        silent = [self._make.plain(blocking=False) for _ in range(chance.randint(1, 8))]
        if chance.random() < 0.3:
            silent = [
                command("MULTI"),
                *[each for each in silent if each.name not in ("EXEC", "DISCARD")],
                command("EXEC"),
            ]
        elif chance.random() < 0.3:
            silent.append(Command(tuple(chance.choice(lists.SELECTS))))
        silent = [each for each in silent if not (each.name in ("ACL", "CONFIG") or each.name in lists.BLOCKING)]
        self._in_parts(who, [command("CLIENT", "REPLY", "OFF"), *silent, command("CLIENT", "REPLY", "ON")], 2)

    def _ending(self, who: int, depth: int) -> None:
        """The connection ends, or is reset."""
        chance = self._chance
        before = self._make.batch() if chance.random() < 0.5 else []
        if chance.random() < 0.3:
            before += [command("WATCH", "s1"), command("MULTI"), self._make.inside()]
            if switches.HTTP_INSIDE_MULTI and chance.random() < 0.2:
                self._send(who, *before)
                self._send(who, Command((_HTTP,), Form.RAW))
                self._leave(who)
                return
        choice = chance.random()
        if choice < 0.3:
            self._send(who, *before, command("RESET"), command("PING"))
            return
        last = (
            command(*chance.choice([["QUIT"], ["quit", "x"]]))
            if choice < 0.6
            else Command((chance.choice(_BROKEN),), Form.RAW)
        )
        self._send(who, *before, *([last] if choice < 0.9 else []))
        self._leave(who)

    def _killed(self, who: int, depth: int) -> None:
        """One client is closed by the other, or by itself."""
        chance = self._chance
        victim = chance.randrange(2)
        kill = command("CLIENT", "KILL", "ID", ID[victim], *chance.choice([(), ("SKIPME", "no"), ("SKIPME", "yes")]))
        self._send(who, *[self._make.plain() for _ in range(chance.randrange(4))], kill)
        self._leave(victim)

    def _tracked(self, who: int, depth: int) -> None:
        """One client caches what it reads, and the other changes it. Unlike with Redis, a reload empties the cache.

        It leaves at the end: Redis tells who turns tracking on again also of what it has read before that.
        """
        chance, other = self._chance, 1 - who
        if self._reloads:
            return
        broadcast = chance.random() < 0.3
        options = ["BCAST", *chance.choice([(), ("PREFIX", "s", "PREFIX", "l")])] if broadcast else []
        options += chance.choice([(), (), ("NOLOOP",)] if broadcast else [(), ("OPTIN",), ("OPTOUT",), ("NOLOOP",)])
        self._send(who, command("HELLO", chance.choice([3, 3, 3, 2])), command("CLIENT", "TRACKING", "ON", *options))
        most = 1 if broadcast else 6  # what is told of broadcasts depends on what the server takes at once
        for _ in range(chance.randint(2, 8)):
            choice = chance.random()
            if choice < 0.4:
                self._send(other, *[self._make.plain(blocking=False) for _ in range(chance.randint(1, most))])
            elif choice < 0.55 and not broadcast:
                self._transaction(who, 2)
            else:
                self._send(who, *[each for _ in range(chance.randint(1, most)) for each in self._make.as_tracked()])
        if chance.random() < 0.7:
            end = command(*chance.choice([["CLIENT", "TRACKING", "OFF"], ["RESET"]]))
            self._send(who, end, *[self._make.plain() for _ in range(chance.randrange(4))])
        self._leave(who)

    # -- subscribers

    def _subscribed(self, who: int, depth: int) -> None:
        chance, other = self._chance, 1 - who
        self._send(who, *[self._make.plain() for _ in range(chance.randrange(3))], self._make.subscribe())
        for _ in range(chance.randint(1, 5)):
            if chance.random() < 0.6:
                self._send(other, *[self._make.publish() for _ in range(chance.randint(1, 4))])
            else:
                self._send(who, *[self._make.as_subscriber() for _ in range(chance.randint(1, 5))])
        muted = switches.MUTED_SUBSCRIBERS and chance.random() < 0.3
        if muted:
            off, on = command("CLIENT", "REPLY", "OFF"), command("CLIENT", "REPLY", "ON")
            self._in_parts(who, [off, self._make.subscribe(), self._make.as_subscriber(), on], 2)
        self._unsubscribe(who, muted)

    def _unsubscribe(self, who: int, muted: bool) -> None:
        """End all subscriptions: Redis never closes a muted subscriber that says QUIT."""
        chance = self._chance
        choice = chance.random()
        if choice < 0.6:
            names = chance.sample(["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"], 3)
            self._in_parts(who, [command(name) for name in names], 2)
        elif choice < 0.75:
            self._send(who, command("RESET"), command("PING"))
        else:
            self._send(who, *[command("QUIT")] * (choice < 0.85 and not muted))
            self._leave(who)
