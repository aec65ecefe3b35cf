"""One data plane gives a client to another over a real Unix socket, and what becomes of it when that is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import deferLater

from redisproxy.dataplane.interface import DataPlaneLost, HandedClient, HandedOver, HandoverRefused, Taker
from redisproxy.remote import large, peer
from tests.client.test_session_value import PLAIN
from tests.end_to_end.test_link import run

pytestmark = pytest.mark.one_twin


class Refusing:
    """Takes in nobody, like a data plane that is full.

    @ivar seen: what came, with the inode of the socket.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, int]] = []
        self.forgotten: list[int] = []

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        return fail(HandoverRefused("there is no room"))

    def adopt(self, client: HandedClient) -> Deferred[None]:
        self.seen.append((client.state, os.fstat(client.descriptor).st_ino))
        os.close(client.descriptor)
        return fail(HandoverRefused("there is no room"))

    def forget(self, client_id: int) -> Deferred[None]:
        self.forgotten.append(client_id)
        return succeed(None)

    def hand_over(self, to: tuple[Taker, ...], limit_s: float) -> Deferred[HandedOver]:
        raise AssertionError

    def stop(self) -> Deferred[None]:
        raise AssertionError


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "peer.sock")


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_refusal_crosses_with_its_reason_and_the_giver_keeps_the_socket(path: str, size: int) -> None:
    refusing, state = Refusing(), b"s" * size

    async def work(reactor: Any) -> None:
        port: Any = peer.listen(reactor, path, refusing)
        target = await peer.reach(reactor, path)
        near, far = socket.socketpair()
        with near, far:
            with pytest.raises(HandoverRefused, match="no room"):
                await target.prepare(state, b"marker")
            with pytest.raises(HandoverRefused, match="no room"):
                await target.adopt(state, far.fileno())
            assert refusing.seen == [(state, os.fstat(far.fileno()).st_ino)]
            far.sendall(b"still open")
            assert near.recv(100) == b"still open"
        target.abandon(7)
        while not refusing.forgotten:
            await deferLater(reactor, 0.01)
        target.close()
        await port.stopListening()

    run(work)
    assert refusing.forgotten == [7]


def test_only_its_own_user_may_connect(path: str) -> None:
    async def work(reactor: Any) -> int:
        port: Any = peer.listen(reactor, path, Refusing())
        mode = os.stat(path).st_mode & 0o777
        await port.stopListening()
        return mode

    assert run(work) == 0o600


def test_nobody_there_is_told_with_the_path(path: str) -> None:
    async def work(reactor: Any) -> None:
        with pytest.raises(DataPlaneLost, match=r"peer\.sock can't be reached"):
            await peer.reach(reactor, path)

    run(work)


class Expecting(Refusing):
    """Expects everybody, and adopts nobody."""

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        return succeed(None)


def test_clients_that_were_expected_are_forgotten_when_their_data_plane_is_lost(path: str) -> None:
    expecting = Expecting()

    async def work(reactor: Any) -> None:
        port: Any = peer.listen(reactor, path, expecting)
        target: Any = await peer.reach(reactor, path)
        await target.prepare(PLAIN.to_bytes(), b"marker")
        await target.prepare(PLAIN.model_copy(update={"id": 8}).to_bytes(), b"marker")
        target.abandon(8)
        target.close()
        while len(expecting.forgotten) < 2:
            await deferLater(reactor, 0.01)
        await port.stopListening()

    run(work)
    assert expecting.forgotten == [8, 7]


def test_a_client_that_holds_more_than_an_order_may_carry_stays(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MAX_BYTES", 100_000)
    refusing = Refusing()

    async def work(reactor: Any) -> None:
        port: Any = peer.listen(reactor, path, refusing)
        target = await peer.reach(reactor, path)
        with pytest.raises(HandoverRefused, match=r"can't be sent.*100000 is the most"):
            await target.adopt(b"s" * 200_000, 0)
        target.close()
        await port.stopListening()

    run(work)
    assert refusing.seen == []
