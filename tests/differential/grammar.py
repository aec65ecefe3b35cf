"""Makes commands, mostly valid ones, from what the server's COMMAND DOCS says of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tests.differential import values

Spec = Mapping[str, Any]
MAX_TIMES = 3


class Grammar:
    """Makes commands at random.

    @param docs: the answer to COMMAND DOCS; names and texts as strings.
    @param left_out: upper-case names of commands that are not made here.
    """

    def __init__(self, docs: Mapping[str, Spec], left_out: frozenset[str]) -> None:
        self._docs = {name.upper(): spec for name, spec in docs.items() if name.upper() not in left_out}
        self.names = sorted(self._docs)

    def make(self, chance: random.Random, name: str, prefix: bytes = b"") -> list[bytes]:
        """Make one command: its name, then its arguments. Each key begins with `prefix`."""
        spec, words = self._docs[name], [name.encode()]
        if subcommands := spec.get("subcommands"):
            chosen = chance.choice(sorted(subcommands))
            spec = subcommands[chosen]
            words.append(chosen.split("|")[-1].upper().encode())
        making = _Making(chance, str(spec.get("group", "")), prefix)
        return words + making.sequence(spec.get("arguments", ()))


class _Making:
    def __init__(self, chance: random.Random, group: str, prefix: bytes) -> None:
        self._chance = chance
        self._group = group
        self._prefix = prefix
        self._times = 0

    def sequence(self, specs: Sequence[Spec]) -> list[bytes]:
        made: list[bytes] = []
        if len(specs) == 2 and all("multiple" in _flags(spec) for spec in specs):
            self._times = self._repeats()  # keys and as many ids
        for spec in specs:
            if spec["name"] == "numkeys":
                self._times = self._repeats()
                made.append(b"%d" % (self._times if self._chance.random() < 0.95 else self._chance.randint(-1, 4)))
            else:
                made += self._argument(spec)
        self._times = 0
        return made

    def _repeats(self) -> int:
        return self._chance.randint(1, MAX_TIMES)

    def _argument(self, spec: Spec) -> list[bytes]:
        flags = _flags(spec)
        counted = self._times and "multiple" in flags and spec["type"] in ("key", "string")
        if "optional" in flags and not counted and self._chance.random() < 0.6:
            return []
        token = [str(spec["token"]).encode()] if "token" in spec and spec["type"] != "pure-token" else []
        times = (self._times if counted else self._repeats()) if "multiple" in flags else 1
        made: list[bytes] = []
        for _ in range(times):
            made += (token if "multiple_token" in flags else []) + self._one(spec)
        return made if "multiple_token" in flags else token + made

    def _one(self, spec: Spec) -> list[bytes]:
        kind = spec["type"]
        if kind == "pure-token":
            return [str(spec["token"]).encode()]
        if kind == "oneof":
            return self._argument(self._chance.choice(list(spec["arguments"])))
        if kind == "block":
            outer, self._times = self._times, 0
            made = self.sequence(spec["arguments"])
            self._times = outer
            return made
        if kind == "key":
            return [values.key(self._chance, self._group, self._prefix)]
        return [values.value(self._chance, str(spec["name"]), str(kind))]


def _flags(spec: Spec) -> frozenset[str]:
    return frozenset(spec.get("flags") or ())


def spoiled(chance: random.Random, args: list[bytes]) -> list[bytes]:
    """Perhaps make one thing of the command wrong."""
    args = list(args)
    at = chance.randrange(1, len(args)) if len(args) > 1 else 0
    how = chance.randrange(6)
    if how == 0 and at:
        del args[at]
    elif how == 1:
        args.insert(at + 1, chance.choice(values.ODD))
    elif how == 2 and at:
        args[at] = chance.choice(values.ODD)
    elif how == 3 and len(args) > 2:
        other = chance.randrange(1, len(args))
        args[at], args[other] = args[other], args[at]
    elif how == 4 and at:
        del args[at:]
    elif at:
        args.append(args[at])
    return args
