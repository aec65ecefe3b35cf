"""Keeps one large sorted set the same at two servers, while it changes, by sending only what differs.

The range of scores is divided into intervals. The old server is asked for each of them, and where its answer is the one
from the time before, the new server has the same and nothing needs to be looked at. Else both are compared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator
from hashlib import blake2b
from typing import Protocol

from twisted.internet.defer import Deferred

from redisproxy.copying.endpoint import Asks, Command, Endpoint
from redisproxy.copying.looks import looks
from redisproxy.copying.replies import KeyChanged, carry_out, checked
from redisproxy.resp import RespError, encode_command, parse_reply

MEMBERS = 250
"""How many members an interval has, when it is made."""
MAX_MEMBERS = 20_000
"""With more of the same score this is of no use."""
_MAX_INTERVAL_BYTES = 1 << 20
_AT_ONCE = 8
_ASKED_AT_ONCE = 500

Members = dict[bytes, bytes]


class Exchanges(Asks, Protocol):
    """A connection that hands over replies as the bytes that came."""

    def exchange(self, request: bytes, replies: int) -> Deferred[bytes]:
        """As L{bulk_connection.BulkConnection.exchange}."""


class SortedSetInPlace:
    """One sorted set, in the databases that are selected whenever it is adjusted.

    Nobody else may change it at the target in between.

    @param wires: the connections of `source` and of `target`.
    """

    def __init__(self, source: Endpoint, target: Endpoint, wires: tuple[Exchanges, Exchanges], key: bytes) -> None:
        self._source = source
        self._target = target
        self._at_source, self._at_target = wires
        self._key = key
        self._bounds: list[bytes] = []
        self._scores: list[float] = []
        self._members = 0
        # By interval: the digest of what the old server answered when the new one had just that.
        self._same: dict[int, bytes] = {}

    async def adjust(self) -> bool:
        """Make the target's sorted set what the source's is; whether that was possible.

        If not, it is no sorted set at both, or has too many members with one score: it has to be copied. What changes
        meanwhile may be missing afterwards, and is found the next time.

        @raise UplinkError: a server did not answer.
        """
        adjusted = False
        try:
            divided = await self._is_there() or await self._divide()
            adjusted = divided and await self._compare() and await self._expire()
        except KeyChanged:
            pass
        finally:
            if not adjusted:  # after an error, too
                self._bounds, self._same = [], {}
        return adjusted

    async def _compare(self) -> bool:
        async for interval, answer in self._answers():
            digest = blake2b(answer, digest_size=16).digest()
            if self._same.get(interval) != digest:
                members = members_in(answer)
                if members is None or len(answer) > _MAX_INTERVAL_BYTES:
                    return False
                await self._adjust(interval, members)
                self._same[interval] = digest
        return True

    # -- the intervals

    async def _is_there(self) -> bool:
        """Whether the target has as many members as before: it may have evicted them."""
        return bool(self._bounds) and await self._size(self._target) == self._members

    async def _size(self, server: Endpoint) -> int:
        (count,) = await server.ask_all(("ZCARD", self._key))
        return count if isinstance(count, int) else 0

    async def _divide(self) -> bool:
        """Divide the scores that the target has; whether it has enough of them, and that is even enough."""
        self._same = {}
        count = await self._size(self._target)
        if not count or 2 * count < await self._size(self._source):
            return False
        bounds: dict[float, bytes] = {}
        ranks = range(MEMBERS, count, MEMBERS)
        for at in range(0, len(ranks), _ASKED_AT_ONCE):
            asked: list[Command] = [
                ("ZRANGE", self._key, rank, rank, "WITHSCORES") for rank in ranks[at : at + _ASKED_AT_ONCE]
            ]
            for reply in checked(await self._target.ask_all(*asked)):
                if reply:
                    bounds.setdefault(float(reply[1]), reply[1])
        self._scores, self._bounds = list(bounds), [b"-inf", *bounds.values(), b"+inf"]
        return await self._even()

    async def _even(self) -> bool:
        counts: list[int] = []
        for at in range(0, len(self._bounds) - 1, _ASKED_AT_ONCE):
            asked: list[Command] = [
                ("ZCOUNT", self._key, *self._range(interval))
                for interval in range(at, min(at + _ASKED_AT_ONCE, len(self._bounds) - 1))
            ]
            counts += checked(await self._target.ask_all(*asked))
        return max(counts) <= MAX_MEMBERS

    def _range(self, interval: int) -> tuple[bytes, bytes]:
        """Its first score, and the one that it ends before; the last one ends with +inf."""
        last = interval == len(self._bounds) - 2
        return self._bounds[interval], (b"" if last else b"(") + self._bounds[interval + 1]

    # -- what is in them

    async def _answers(self) -> AsyncIterator[tuple[int, bytes]]:
        """What the source answers for each interval, some being asked for at a time."""
        under_way: deque[tuple[int, Deferred[bytes]]] = deque()
        try:
            for interval in range(len(self._bounds) - 1):
                under_way.append((interval, self._at_source.exchange(self._question(interval), 1)))
                if len(under_way) == _AT_ONCE:
                    number, answer = under_way.popleft()
                    yield number, await answer
            while under_way:
                number, answer = under_way.popleft()
                yield number, await answer
        finally:
            for _, answer in under_way:
                answer.addErrback(lambda _: None)

    def _question(self, interval: int) -> bytes:
        return encode_command("ZRANGEBYSCORE", self._key, *self._range(interval), "WITHSCORES")

    async def _adjust(self, interval: int, members: Members) -> None:
        there = members_in(await self._at_target.exchange(self._question(interval), 1))
        if there is None:
            raise KeyChanged
        changed = [
            (member, score)
            for member, score in members.items() - there.items()
            if member not in there or float(there[member]) != float(score)
        ]
        removed = there.keys() - members.keys()
        await self._forget([member for member, _ in changed if member not in there])
        commands: list[Command] = [("ZREM", self._key, *removed)] if removed else []
        if changed:
            commands.append(("ZADD", self._key, *(part for member, score in changed for part in (score, member))))
        await carry_out(self._target, commands)

    async def _forget(self, members: list[bytes]) -> None:
        """They come into an interval: those that they leave at the target are not what they were."""
        if members:
            for score in checked(await self._target.ask_all(*(("ZSCORE", self._key, member) for member in members))):
                if score is not None:
                    self._same.pop(bisect_right(self._scores, float(score)), None)

    async def _expire(self) -> bool:
        (look,) = await looks(self._source, [self._key])
        if look.kind == "zset":
            life: Command = ("PEXPIREAT", self._key, look.expires_ms[0]) if look.expires_ms else ("PERSIST", self._key)
            await carry_out(self._target, [life])
            self._members = await self._size(self._target)
        return look.kind == "zset" and self._members > 0


def members_in(answer: bytes) -> Members | None:
    """Members and scores in a reply to ZRANGEBYSCORE; None if it is an error.

    A million members are parsed in a switchover's pause, so this is done by splitting, unless a member has line breaks.
    """
    parts = answer.split(b"\r\n")
    if parts[0][:1] == b"*" and len(parts) == 2 * int(parts[0][1:]) + 2:
        return dict(zip(parts[2::4], parts[4::4], strict=True))
    reply = parse_reply(answer)
    if isinstance(reply, RespError) or not isinstance(reply, list):
        return None
    return dict(zip(reply[::2], reply[1::2], strict=True))
