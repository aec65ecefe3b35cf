"""What happened, as the clients saw it, and whether it could have been: the oracles.

An operation that was answered took effect exactly once, between its request and its reply. One that was never answered
took effect at most once, at some time after its request. One that was refused took no effect.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any

PRIVATE = b"__redisproxy:"
"""Keys of the proxy's own; those that stay for a while go by themselves."""
ANSWERED, UNKNOWN, REFUSED = "answered", "unknown", "refused"

Place = tuple[int, bytes]
"""Database and key."""


class Violation(Exception):
    """Something that must never happen has happened."""


@dataclass(eq=False, slots=True)
class Op:
    """One operation of one client.

    @ivar kind: set, get, incr, push, pop, cas or blpop. @ivar value: what was written, or what came back.
    @ivar group: operations of the same transaction have the same.
    """

    kind: str
    place: Place
    client: str
    start: float
    value: Any = None
    end: float = inf
    status: str = UNKNOWN
    group: int = 0

    def answered(self, now: float, value: Any = None) -> None:
        self.end, self.status = now, ANSWERED
        if value is not None:
            self.value = value

    def refused(self) -> None:
        self.status = REFUSED

    def __str__(self) -> str:
        db, key = self.place
        when = f"[{self.start:.4f}, {self.end:.4f}]"
        return f"{self.kind} {db}/{key.decode()} {self.value!r} by {self.client} {when} {self.status}"


class History:
    """All operations of a run."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def add(self, op: Op) -> Op:
        self.ops.append(op)
        return op

    def check(self, dbs: list[dict[bytes, Any]]) -> None:
        """Compare with the data that the server has at the end.

        @raise Violation: this history can't lead to that data.
        """
        places: dict[Place, list[Op]] = defaultdict(list)
        for op in self.ops:
            places[op.place].append(op)
        for (db, key), ops in places.items():
            final = dbs[db].get(key)
            kinds = {op.kind for op in ops}
            if kinds & {"set", "get"}:
                check_register(ops, final)
            elif "incr" in kinds:
                check_counter(ops, final)
            elif "cas" in kinds:
                check_cas(ops, final)
        check_lists(self.ops, dbs)
        for db, data in enumerate(dbs):
            for key in data:
                if not key.startswith((b"%d:" % db, PRIVATE)):
                    raise Violation(f"the key {key!r} is in database {db}")


def check_counter(ops: list[Op], final: bytes | None) -> None:
    """INCR gives every number once, in an order that agrees with time."""
    answered = sorted((op for op in ops if op.status == ANSWERED), key=lambda op: op.value)
    unknown = sum(op.status == UNKNOWN for op in ops)
    for before, after in pairwise(answered):
        if before.value == after.value:
            raise Violation(f"one number was given twice: {before}; {after}")
    latest_start, latest = -inf, None
    for op in answered:
        if op.end < latest_start:
            raise Violation(f"went back: {op} is over before {latest} begins")
        if op.start > latest_start:
            latest_start, latest = op.start, op
    total = int(final or 0)
    if not len(answered) <= total <= len(answered) + unknown:
        raise Violation(
            f"{ops[0].place}: {len(answered)} increments were acknowledged and {unknown} may have been:"
            f" the value is {total}: {'; '.join(map(str, ops))}"
        )
    if answered and answered[-1].value > total:
        raise Violation(f"{answered[-1]} but the value is {total}")


def check_cas(ops: list[Op], final: bytes | None) -> None:
    """Of two transactions on the same watched value only one may succeed; the value counts the successes."""
    answered = [op for op in ops if op.status == ANSWERED]
    unknown = sum(op.status == UNKNOWN for op in ops)
    for value, count in Counter(op.value for op in answered).items():
        if count > 1:
            both = [str(op) for op in answered if op.value == value]
            raise Violation(f"two transactions have changed the same watched value: {'; '.join(both)}")
    total = int(final or 0)
    if not len(answered) <= total <= len(answered) + unknown:
        raise Violation(
            f"{ops[0].place}: {len(answered)} changes acknowledged, {unknown} unknown: the value is {total}"
        )


def check_register(ops: list[Op], final: bytes | None) -> None:
    """Linearizability of a register whose written values are all different (Gibbons and Korach, 1997).

    For each value, the zone from the earliest end to the latest start of the operations on it: a forward zone has time
    in it when the value must have been there. Two forward zones may not overlap, and no backward zone may lie in a
    forward one.
    """
    writes = {op.value: op for op in ops if op.kind == "set" and op.status != REFUSED}
    reads: dict[Any, list[Op]] = defaultdict(list)
    for op in ops:
        if op.kind == "get" and op.status == ANSWERED:
            reads[op.value].append(op)
    writes[b""] = Op("set", ops[0].place, "nobody", -inf, b"", -inf, ANSWERED)
    last = Op("get", ops[0].place, "the end", inf, final or b"", inf, ANSWERED)
    reads[last.value].append(last)
    for op in ops:
        if op.kind == "set" and op.status == REFUSED and reads.get(op.value):
            raise Violation(f"refused, and yet done: {op}")
    for value, found in reads.items():
        if value not in writes:
            raise Violation(f"{found[0]}: nobody has written that")
        for read in found:
            if read.end < writes[value].start:
                raise Violation(f"{read} is over before {writes[value]}")
    _check_zones(list(_zones(writes, reads)))


def _zones(writes: dict[Any, Op], reads: dict[Any, list[Op]]) -> Iterator[tuple[float, float, str]]:
    """Earliest end, latest start, and who that was.

    A write that nobody has seen and nobody acknowledged may never have been.
    """
    for value, write in writes.items():
        ops = [write, *reads.get(value, ())]
        if write.status == ANSWERED or len(ops) > 1:
            yield min(op.end for op in ops), max(op.start for op in ops), "; ".join(map(str, ops[:4]))


def _check_zones(zones: list[tuple[float, float, str]]) -> None:
    forward = sorted(zone for zone in zones if zone[0] < zone[1])
    for before, after in pairwise(forward):
        if after[0] < before[1]:
            raise Violation(f"no order of these: {before[2]} and {after[2]}")
    for end, start, text in zones:
        if start <= end:
            for low, high, other in forward:
                if low < start and end < high:
                    raise Violation(f"no order of these: {text} within {other}")


def check_lists(ops: Iterable[Op], dbs: list[dict[bytes, Any]]) -> None:
    """Every pushed value is in its list or has been popped, once; those of one transaction all or none."""
    pushes = {op.value: op for op in ops if op.kind == "push"}
    seen: dict[bytes, list[str]] = defaultdict(list)
    for op in ops:
        if op.kind in ("pop", "blpop") and op.status == ANSWERED and op.value is not None:
            seen[op.value].append(f"popped: {op}")
    maybe = Counter(op.place for op in ops if op.kind in ("pop", "blpop") and op.status == UNKNOWN)
    for db, data in enumerate(dbs):
        for key, values in data.items():
            for value in values if isinstance(values, list) else ():
                seen[value].append(f"in {db}/{key.decode()}")
    for value, where in seen.items():
        if value not in pushes:
            raise Violation(f"{value!r} is {where}: nobody has pushed that")
        if len(where) > 1:
            raise Violation(f"{pushes[value]} is there more than once: {'; '.join(where)}")
        if pushes[value].status == REFUSED:
            raise Violation(f"refused, and yet done: {pushes[value]} is {where[0]}")
    _check_missing(pushes, seen, maybe)


def _check_missing(pushes: dict[bytes, Op], seen: dict[bytes, list[str]], maybe: Counter[Place]) -> None:
    groups: dict[int, list[Op]] = defaultdict(list)
    missing: Counter[Place] = Counter()
    for value, op in pushes.items():
        if op.group:
            groups[op.group].append(op)
        if value not in seen and op.status == ANSWERED:
            missing[op.place] += 1
            if missing[op.place] > maybe[op.place]:
                raise Violation(f"acknowledged and lost: {op}")
    for group in groups.values():
        there = [op.value in seen for op in group]
        lost = [op for op in group if op.value not in seen and not maybe[op.place]]
        if any(there) and lost:
            raise Violation(f"half of a transaction is missing: {lost[0]}")
