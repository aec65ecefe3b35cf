"""The program on disk takes the place of the one that runs, with real processes: clients do not notice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.end_to_end.harness import Load, Proxy, RedisServer, free_port, wait_until
from tests.end_to_end.systemd import Activated, Notifications
from tests.end_to_end.upgrading import Upgraded, alive

pytestmark = pytest.mark.one_twin

TWISTD = [sys.executable, "-c", "import sys; from twisted.scripts.twistd import run; run()"]
PACE_S = 0.01
"""Everybody does something else at this pace: the machine has other things to do."""
ONCE: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "single_connection_client": True, "decode_responses": True}


@pytest.fixture(params=["native", "pure"])
def proxy(request: pytest.FixtureRequest, server: RedisServer, tmp_path: Path) -> Iterator[Upgraded]:
    """With a listener on a Unix socket, too."""
    environment = {"REDISPROXY_PURE": "1"} if request.param == "pure" else None
    more: dict[str, Any] = {"pubsub": True, "allow_commands": ["MONITOR"]}
    with Upgraded(server.uplink, environment=environment, unix=str(tmp_path / "unix"), **more) as running:
        yield running


class Worker(threading.Thread):
    """Does something again and again until told to stop.

    @ivar done: how often. @ivar problem: what went wrong.
    """

    def __init__(self, work: Callable[[], None], pace_s: float = PACE_S) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._pace_s = pace_s
        self._ended = threading.Event()
        self.done = 0
        self.problem = ""
        self.start()

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self._work()
                self.done += 1
                time.sleep(self._pace_s)
        except Exception as error:
            self.problem = f"after {self.done}: {error!r}"

    def end(self) -> None:
        self._ended.set()
        self.join(30)
        assert not self.problem and self.done, self.problem


class Listener:
    """A subscriber, or a client-side cache, that notes what comes."""

    def __init__(self, client: redis.Redis) -> None:
        self.got: list[str] = []
        self._client = client  # it closes its connections when nobody has it any more
        self._messages = client.pubsub(ignore_subscribe_messages=True)
        self._messages.subscribe("news")
        self.worker = Worker(self._listen, 0)

    def _listen(self) -> None:
        message = self._messages.get_message(timeout=0.2)
        if message is not None:
            self.got.append(message["data"])


class Monitor:
    """A client that sees what all do.

    @ivar wanted: what it waits to see. @ivar seen: it has.
    """

    def __init__(self, client: redis.Redis) -> None:
        self.wanted, self.seen = "SET seen 1", False
        self._client = client
        self._monitor = client.monitor()
        self._monitor.__enter__()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while self._monitor.next_command()["command"] != self.wanted:
            pass
        self.seen = True


class Everybody:
    """Clients of all kinds, at work."""

    def __init__(self, server: RedisServer, proxy: Upgraded) -> None:
        self._server, self._proxy = server, proxy
        server.client().mset({"watched": 0, "cached": 0})
        self.committed = self.published = 0
        self.listeners = [Listener(proxy.once(protocol=protocol)) for protocol in (2, 3)]
        direct = server.client()
        wait_until(lambda: direct.pubsub_numsub("news")[0][1] == len(self.listeners), "they have subscribed")
        works = [self.commits(), self.blocks(), self.pops(), self.pipelines(), self.caches(), self.large()]
        self.workers = [Worker(work) for work in works] + [Worker(self.publish())]

    def commits(self) -> Callable[[], None]:
        client = self._proxy.once()

        def once() -> None:
            client.execute_command("WATCH", "watched")
            value = int(client.get("watched") or 0)
            client.execute_command("MULTI")
            client.execute_command("SET", "watched", value + 1)
            self.committed += client.execute_command("EXEC") is not None

        return once

    def blocks(self) -> Callable[[], None]:
        client = self._proxy.once(port=0)

        def once() -> None:
            assert client.blpop(["empty"], 0.1) is None

        return once

    def pops(self) -> Callable[[], None]:
        client, other, count = self._proxy.once(), self._server.client(), [0]

        def once() -> None:
            count[0] += 1
            threading.Timer(0.05, other.rpush, ("queue", str(count[0]))).start()
            assert client.blpop(["queue"], 20) == ("queue", str(count[0])), "each element once, in order"

        return once

    def pipelines(self) -> Callable[[], None]:
        client = self._proxy.once(port=0)

        def once() -> None:
            piped = client.pipeline(transaction=False)
            for at in range(50):
                piped.echo(str(at))
            assert piped.execute() == [str(at) for at in range(50)]

        return once

    def caches(self) -> Callable[[], None]:
        """A client-side cache in its simplest form: after an invalidation the value is read again."""
        reader, writer, value = Tracking(self._proxy), self._server.client(), [0]

        def once() -> None:
            assert reader.get("cached") == str(value[0])
            value[0] += 1
            writer.set("cached", value[0])
            reader.wait_for_invalidation()

        return once

    def large(self) -> Callable[[], None]:
        client, value = self._proxy.once(), os.urandom(300_000).hex()

        def once() -> None:
            assert client.set("large", value)
            assert client.get("large") == value

        return once

    def publish(self) -> Callable[[], None]:
        client = self._server.client()

        def once() -> None:
            client.publish("news", str(self.published))
            self.published += 1

        return once

    def end(self) -> None:
        """Everybody has got exactly what is theirs."""
        for worker in self.workers:
            worker.end()
        wait_until(lambda: all(len(each.got) >= self.published for each in self.listeners), "all messages have come")
        for each in self.listeners:
            each.worker.end()
            assert each.got == [str(at) for at in range(self.published)], "no message is lost or doubled"
        assert self.committed > 10
        assert int(self._server.client().get("watched") or 0) == self.committed, "no write was lost"


class Tracking:
    """A connection with CLIENT TRACKING, by hand."""

    def __init__(self, proxy: Upgraded) -> None:
        self._socket = proxy.connect()
        self._file = self._socket.makefile("rb")
        self._invalidations = 0
        self._ask(b"HELLO 3\r\n")
        assert self._ask(b"CLIENT TRACKING ON\r\n") == b"OK"

    def get(self, key: str) -> str:
        return str(self._ask(b"GET %b\r\n" % key.encode()).decode())

    def _ask(self, command: bytes) -> Any:
        self._socket.sendall(command)
        while isinstance(got := self._read(), list):
            assert got[0] == b"invalidate"
            self._invalidations += 1
        return got

    def wait_for_invalidation(self) -> None:
        """Of whatever: a null one, after a change of the connection, is one, too."""
        if not self._invalidations:
            assert self._read()[0] == b"invalidate"
            self._invalidations = 1
        self._invalidations = 0

    def _read(self) -> Any:
        line = self._file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind in b"*>~":
            return [self._read() for _ in range(int(rest))]
        if kind == b"%":
            return {str(self._read()): self._read() for _ in range(int(rest))}
        if kind == b"$":
            return self._file.read(int(rest) + 2)[:-2]
        assert kind in b"+:_,#", line
        return rest


@pytest.mark.timeout(400)
def test_clients_of_all_kinds_notice_nothing_of_many_upgrades(server: RedisServer, proxy: Upgraded) -> None:
    upgrades = 10 if proxy.info()["native"]["active"] else 3
    monitor = Monitor(proxy.once(socket_timeout=None))
    named = proxy.once(client_name="named", protocol=3)
    number, direct = named.client_id(), server.client()
    with Load(proxy, 5) as load:
        everybody = Everybody(server, proxy)
        for _ in range(upgrades):
            before = proxy.pid
            assert proxy.upgrade()["stayed"] == 0
            assert proxy.pidfile.read_text() == str(proxy.pid) != str(before)
            assert proxy.once().ping() and proxy.once(port=0).ping()
        everybody.end()
    load.check(server)
    direct.set("seen", "1")
    wait_until(lambda: monitor.seen, "MONITOR shows it")
    assert named.client_id() == number and named.client_getname() == "named"
    last = proxy.info()["upgrade"]["last"]
    assert [each["pid"] for each in last] == proxy.pids[:0:-1]
    assert proxy.stop() == 0
    assert not proxy.pidfile.exists() and not Path(proxy.unix).exists()
    assert not list(proxy.folder.glob("*.pid*"))


def test_the_configuration_is_read_anew_and_the_past_is_kept(server: RedisServer, tmp_path: Path) -> None:
    old, kept, new = (str(tmp_path / name) for name in ("old", "kept", "new"))
    with Upgraded(server.uplink) as proxy:
        tcp = proxy.config["listen"]
        proxy.write(listen=[tcp, *({"addr": path, "network": "unix"} for path in (old, kept))])
        proxy.process.send_signal(signal.SIGTERM)
        proxy.process.wait(20)
        proxy.restart()
        proxy.pid = proxy.process.pid
        proxy.pids = [proxy.pid]
        assert proxy.do("reload")["changed"] == []
        clients = {path: redis.Redis(unix_socket_path=path, **ONCE) for path in (old, kept)}
        for path, client in clients.items():
            client.client_setname(path)
        proxy.do("pause")
        proxy.write(listen=[tcp, *({"addr": path, "network": "unix"} for path in (kept, new))], read_time_limit_ms=7000)
        answer = proxy.upgrade()
        assert answer["clients"] == 1 and answer["stayed"] == 1, "the listener of one is gone"
        info = proxy.info()
        assert info["state"] == "paused" and info["paused_for"] == ["operator"]
        assert info["config"]["read_time_limit_ms"] == 7000 and info["last_reload"]["ok"]
        assert Path(kept).exists() and Path(new).exists() and not Path(old).exists()
        proxy.do("unpause")
        assert redis.Redis(unix_socket_path=new, **ONCE).ping()
        assert clients[kept].client_getname() == kept
        clients[old].close()
        proxy.wait_for_the_end_of(proxy.pids[0])


def test_a_signal_does_it_too(server: RedisServer) -> None:
    with Upgraded(server.uplink) as proxy:
        client = proxy.once()
        number = client.client_id()
        os.kill(proxy.pid, signal.SIGUSR2)
        proxy.wait_for_another()
        assert client.client_id() == number
        os.kill(proxy.pid, signal.SIGUSR2)
        os.kill(proxy.pid, signal.SIGUSR2)
        proxy.wait_for_another()


def test_the_new_process_reloads_for_a_sighup_that_came_in_the_upgrade(server: RedisServer) -> None:
    with Upgraded(server.uplink) as proxy:
        os.kill(proxy.pid, signal.SIGUSR2)
        wait_until(lambda: proxy.info()["upgrade"]["step"], "the upgrade runs")
        os.kill(proxy.pid, signal.SIGHUP)
        proxy.wait_for_another()
        wait_until(lambda: proxy.info()["last_reload"].get("ok"), "the new process has reloaded")


def test_the_service_manager_is_told_who_the_service_is(server: RedisServer, tmp_path: Path) -> None:
    notifications = Notifications(tmp_path)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    ports = free_port(), free_port()  # the socket unit listens elsewhere than the configuration says
    passed = [("listen", listening)]
    try:
        with Activated(server.uplink, passed, ports=ports, environment={"NOTIFY_SOCKET": notifications.path}) as proxy:
            client = redis.Redis(port=port, **ONCE)
            number, pid = client.client_id(), proxy.process.pid
            notifications.wait_for(1)
            for count in (1, 2):
                successor = int(proxy.do("upgrade")["pid"])
                wait_until(lambda pid=pid: not alive(pid), "the one before ends")
                heard = notifications.wait_for(1 + 2 * count)[-2:]
                assert {each["MAINPID"] for each in heard} == {str(successor)}
                assert all(each["READY"] == "1" for each in heard)
                assert client.client_id() == number and redis.Redis(port=port, **ONCE).ping()
                pid = successor
            assert not any("STOPPING" in each for each in notifications.read())
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not alive(pid), "the last one ends")
            assert "STOPPING" in notifications.read()[-1]
    finally:
        notifications.close()
        listening.close()


@pytest.mark.parametrize("way", ["daemon", "twist"])
def test_however_it_was_started(server: RedisServer, tmp_path: Path, way: str) -> None:
    pidfile, log, rundir = tmp_path / "pid", tmp_path / "log", tmp_path / "elsewhere"
    rundir.mkdir()
    port, admin = free_port(), free_port()
    config = {"uplink": server.uplink, "listen": {"addr": f"127.0.0.1:{port}"}}
    (tmp_path / "config.json").write_text(json.dumps({**config, "admin": {"addr": f"127.0.0.1:{admin}"}}))
    options = {
        "daemon": [*TWISTD, "--pidfile", "pid", "--logfile", str(log), "--rundir", str(rundir)],
        "twist": [sys.executable, "-m", "twisted", "--log-file", str(log)],
    }[way]
    started = subprocess.Popen([*options, "redisproxy", "-c", "config.json"], cwd=tmp_path)
    wait_until(lambda: log.exists() and "is running" in log.read_text(), "it runs", 60)
    pid = started.pid
    if way == "daemon":
        assert started.wait(20) == 0
        pid = int(pidfile.read_text())
    client = redis.Redis(port=port, **ONCE)
    number = client.client_id()
    for _ in range(2):
        curl = ["curl", "-s", f"http://127.0.0.1:{admin}/cmd/", "-d", "cmd=upgrade"]
        answer = json.loads(subprocess.check_output(curl))
        assert answer["ok"], answer
        wait_until(lambda pid=pid: not alive(pid), "the one before ends")
        pid = answer["pid"]
        assert way == "twist" or int(pidfile.read_text()) == pid
        assert client.client_id() == number
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), "it ends")
    assert way == "daemon" or started.wait(20) == 0
    assert not pidfile.exists() and "Traceback" not in log.read_text()


def test_the_first_process_of_a_container_is_not_upgraded(server: RedisServer, tmp_path: Path) -> None:
    with Proxy(server.uplink, plugin="import os; os.getpid = lambda: 1") as proxy:
        status, answer = proxy.admin("upgrade")
        assert status == 409 and "the first process of its container" in answer["error"]
