"""Subscribers through real switches, with "pubsub": true."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Proxy, RedisServer, wait_until


@pytest.fixture
def pubsub_proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.uplink, pubsub=True) as proxy:
        yield proxy


class Listener(threading.Thread):
    """Collects the messages of one subscriber until told to stop."""

    def __init__(self, client: redis.Redis, *channels: str, pattern: bool = False) -> None:
        super().__init__(daemon=True)
        self.pubsub = client.pubsub()
        (self.pubsub.psubscribe if pattern else self.pubsub.subscribe)(*channels)
        self.got: list[Any] = []
        self.confirmed = 0
        self.problem = ""
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            while not self.ended.is_set():
                message = self.pubsub.get_message(timeout=0.1)
                if message is None:
                    continue
                if message["type"].endswith("message"):
                    self.got.append(message["data"])
                else:
                    self.confirmed += 1
        except Exception as error:
            self.problem = repr(error)


def test_refused_unless_asked_for(proxy: Proxy) -> None:
    with pytest.raises(redis.ResponseError, match="pubsub"):
        proxy.client().execute_command("SUBSCRIBE", "a")


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("how", ["switchover", "reload"])
def test_no_message_is_lost_or_doubled_in_a_switch(
    server: RedisServer, other: RedisServer, pubsub_proxy: Proxy, protocol: int, how: str
) -> None:
    proxy = pubsub_proxy
    listeners = [Listener(proxy.client(protocol=protocol), "a", "b") for _ in range(5)]
    listeners += [Listener(proxy.client(protocol=protocol), "*", pattern=True)]
    for listener in listeners:
        listener.start()
    wait_until(lambda: all(listener.confirmed for listener in listeners), "they are subscribed")
    sent: list[str] = []
    stop = threading.Event()

    def publish() -> None:
        publisher = proxy.client()
        while not stop.is_set():
            text = str(len(sent))
            assert publisher.publish("ab"[len(sent) % 2], text) == 6
            sent.append(text)

    publishing = threading.Thread(target=publish)
    publishing.start()
    for new in (other, server, other):
        before = len(sent)
        wait_until(lambda before=before: len(sent) > before + 50, "messages are sent")
        proxy.write(uplink=new.uplink)
        proxy.do(how)
    before = len(sent)
    wait_until(lambda: len(sent) > before + 50, "messages are sent")
    stop.set()
    publishing.join(10)
    wait_until(lambda: all(len(each.got) >= len(sent) or each.problem for each in listeners), "all have arrived")
    for listener in listeners:
        listener.ended.set()
        listener.join(10)
        assert not listener.problem and listener.got == sent
    assert proxy.info()["clients"]["closed"] == {}


def test_subscribing_and_unsubscribing_as_redis_does(pubsub_proxy: Proxy) -> None:
    sock = pubsub_proxy.connect()
    file = sock.makefile("rb")

    def ask(line: bytes, lines: int) -> bytes:
        sock.sendall(line + b"\r\n")
        return b"".join(file.readline() for _ in range(lines))

    assert ask(b"SUBSCRIBE a b", 10) == (b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\n")
    assert file.readline() + file.readline() == b"b\r\n:2\r\n"
    assert ask(b"GET x", 1).startswith(b"-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING")
    assert ask(b"PING", 5) == b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    assert "P" in pubsub_proxy.client().client_list()[0]["flags"]
    assert ask(b"UNSUBSCRIBE", 12).count(b"unsubscribe") == 2
    assert ask(b"SET x 1", 1) == b"+OK\r\n"
    assert ask(b"UNSUBSCRIBE", 5) == b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n"
    assert ask(b"GET x", 2) == b"$1\r\n1\r\n"
    sock.close()


def test_a_resp2_subscriber_is_refused_in_the_words_of_redis(server: RedisServer, pubsub_proxy: Proxy) -> None:
    lines = (
        b"GET x",
        b"GET",
        b"FOO a",
        b"SCRIPT LOAD x",
        b"MULTI",
        b"WATCH a",
        b"BLPOP x 0",
        b"SCAN 0",
        b"SELECT 1",
        b"CLIENT ID",
    )
    answers = []
    for port in (server.port, pubsub_proxy.port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock, sock.makefile("rb") as file:
            sock.sendall(b"SUBSCRIBE a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"UNSUBSCRIBE\r\nDBSIZE\r\n")
            answers.append([file.readline() for _ in range(6 + len(lines) + 6 + 1)])
    assert answers[0] == answers[1] and answers[0][-1] == b":0\r\n"


def test_a_subscriber_hears_of_the_loss_of_its_server(server: RedisServer, pubsub_proxy: Proxy) -> None:
    sock = pubsub_proxy.connect()
    sock.sendall(b"SUBSCRIBE a\r\n")
    assert sock.recv(100)
    server.process.kill()
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(100) == b""


def test_a_resp3_subscriber_goes_on_with_commands(server: RedisServer, pubsub_proxy: Proxy) -> None:
    sock = pubsub_proxy.connect()
    file = sock.makefile("rb")
    sock.sendall(b"HELLO 3\r\nSUBSCRIBE a\r\n")
    while file.readline() != b"subscribe\r\n":
        pass
    assert [file.readline() for _ in range(3)] == [b"$1\r\n", b"a\r\n", b":1\r\n"]
    sock.sendall(b"SET x 1\r\nPUBLISH a hi\r\nMULTI\r\nUNSUBSCRIBE a\r\nGET x\r\n")
    lines = [file.readline() for _ in range(18)]
    assert lines[0] == b"+OK\r\n" and b"hi\r\n" in lines and b">3\r\n" in lines
    assert any(line.startswith(b"-ERR redisproxy does not run") for line in lines)
    sock.close()


@pytest.mark.parametrize("version", [2, 3])
def test_a_subscriber_that_has_switched_replies_off_gets_its_messages_also_after_a_switch(
    server: RedisServer, other: RedisServer, pubsub_proxy: Proxy, version: int
) -> None:
    sock = pubsub_proxy.connect()
    file = sock.makefile("rb")
    sock.sendall(b"HELLO %d\r\nCLIENT REPLY OFF\r\nSUBSCRIBE a\r\nPING\r\n" % version)
    while file.readline() != b"subscribe\r\n":
        pass
    assert [file.readline() for _ in range(3)] == [b"$1\r\n", b"a\r\n", b":1\r\n"]
    for text in (b"one", b"two"):
        pubsub_proxy.client().publish("a", text)
        lines = [file.readline() for _ in range(7)]
        assert lines[0] == (b">3\r\n" if version == 3 else b"*3\r\n") and lines[2:] == [
            b"message\r\n", b"$1\r\n", b"a\r\n", b"$3\r\n", text + b"\r\n",
        ]  # fmt: skip
        pubsub_proxy.write(uplink=other.uplink)
        pubsub_proxy.do("reload")
    sock.close()


@pytest.mark.parametrize("moves", [False, True])
def test_a_watch_beside_a_subscription_holds_unless_the_server_changes(
    server: RedisServer, other: RedisServer, pubsub_proxy: Proxy, moves: bool
) -> None:
    sock = pubsub_proxy.connect()
    file = sock.makefile("rb")
    sock.sendall(b"WATCH k\r\nSUBSCRIBE a\r\n")
    assert [file.readline() for _ in range(7)][-1] == b":1\r\n"
    if moves:
        pubsub_proxy.write(uplink=other.uplink)
        pubsub_proxy.do("reload")
    sock.sendall(b"UNSUBSCRIBE\r\nMULTI\r\nSET k 1\r\nEXEC\r\nGET k\r\n")
    assert [file.readline() for _ in range(8)][-2:] == [b"+OK\r\n", b"+QUEUED\r\n"]
    assert file.readline() == (b"*-1\r\n" if moves else b"*1\r\n")
    assert file.readline() == (b"$-1\r\n" if moves else b"+OK\r\n")
    sock.close()


def test_a_subscriber_that_reads_nothing_makes_no_pause_longer_and_misses_nothing(
    server: RedisServer, other: RedisServer, pubsub_proxy: Proxy
) -> None:
    subscriber = pubsub_proxy.connect()
    subscriber.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    subscriber.sendall(b"SUBSCRIBE news\r\n")
    reading = subscriber.makefile("rb")
    for _ in range(6):
        reading.readline()
    publisher = pubsub_proxy.client()
    for number in range(300):
        assert publisher.publish("news", f"{number:05d}" * 10000) == 1
    assert any(int(line["omem"]) for line in server.client().client_list()), "the server holds some of them"
    assert pubsub_proxy.do("reload")["pause_ms"] < 2000
    pubsub_proxy.write(uplink=other.uplink)
    assert pubsub_proxy.do("switchover")["report"]["result"] == "done"
    assert publisher.publish("news", "the end") == 1
    subscriber.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4194304)
    for number in range(300):
        lines = [reading.readline() for _ in range(7)]
        assert lines[-1] == b"%05d" % number * 10000 + b"\r\n"
    assert [reading.readline() for _ in range(7)][-1] == b"the end\r\n"
    reading.close()
    subscriber.close()
