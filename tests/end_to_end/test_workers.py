"""A proxy with several workers: clients notice nothing of them but more speed, and of a lost one only its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Certificates, CountingClient, Proxy, RedisServer, free_port, wait_until

pytestmark = pytest.mark.one_twin

WORKERS = 3


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def proxy(server: RedisServer) -> Iterator[Proxy]:
    server.client().flushall()
    with Proxy(server.uplink, workers=WORKERS) as proxy:
        all_there(proxy)
        yield proxy


def workers_of(proxy: Proxy) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = proxy.info()["workers"]
    return found


def all_there(proxy: Proxy) -> None:
    def there() -> bool:
        workers: list[dict[str, Any]] = proxy.info().get("workers", [])  # none where they are found only now
        return bool(workers) and all(worker["connected"] for worker in workers)

    wait_until(there, "all workers are there")


def worker_of(client: redis.Redis) -> int:
    return int(client.client_id()) % 100


def clients_on_all(proxy: Proxy, each: int = 1) -> list[redis.Redis]:
    """So many clients on each worker, connected, in the sequence of the workers."""
    clients = [proxy.client(single_connection_client=True) for _ in range(each * WORKERS)]
    clients.sort(key=worker_of)
    assert Counter(map(worker_of, clients)) == dict.fromkeys(range(1, WORKERS + 1), each)
    return clients


class Traffic:
    """Clients that count their replies while something happens."""

    def __init__(self, proxy: Proxy, count: int = 9) -> None:
        self._stop = threading.Event()
        self.clients = [CountingClient(proxy, number, self._stop) for number in range(count)]

    def __enter__(self) -> Traffic:
        for client in self.clients:
            client.start()
        wait_until(lambda: all(client.done or client.problem for client in self.clients), "there is traffic")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self.clients:
            client.join(30)

    @property
    def problems(self) -> list[str]:
        return [client.problem for client in self.clients if client.problem]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


# -- one proxy


def test_ids_of_clients_differ_and_bear_the_number_of_the_worker(proxy: Proxy) -> None:
    clients = clients_on_all(proxy, 2)
    ids = [int(client.client_id()) for client in clients]
    assert len(set(ids)) == len(ids) and all(0 < each < 2**53 for each in ids)


def test_pause_reload_and_traffic_go_on_over_all_workers(proxy: Proxy) -> None:
    with Traffic(proxy) as traffic:
        for _ in range(3):
            assert proxy.do("pause-and-wait")["state"] == "paused"
            time.sleep(0.3)  # for the replies that the clients have not read yet
            before = [client.done for client in traffic.clients]
            time.sleep(0.2)
            assert [client.done for client in traffic.clients] == before
            assert proxy.info()["held"] == len(traffic.clients)
            proxy.do("unpause")
            proxy.do("reload")
        time.sleep(0.3)
    assert traffic.problems == []


def test_client_list_shows_the_clients_of_all_workers_in_order_of_their_ids(proxy: Proxy) -> None:
    clients = clients_on_all(proxy)
    ids = sorted(int(client.client_id()) for client in clients)
    for client in clients:
        assert [int(each["id"]) for each in client.client_list()] == ids
    assert [int(each["id"]) for each in clients[0].client_list(client_id=[str(ids[2]), str(ids[0])])] == [
        ids[0],
        ids[2],
    ]


def test_client_kill_reaches_every_worker(proxy: Proxy) -> None:
    first, second, third = clients_on_all(proxy)
    assert first.client_kill_filter(_id=str(second.client_id())) == 1
    with pytest.raises(redis.ConnectionError):
        second.ping()
    assert third.client_kill_filter(_type="normal", skipme=True) == 1
    with pytest.raises(redis.ConnectionError):
        first.ping()
    assert third.client_kill_filter(_id="99999999") == 0
    with pytest.raises(redis.ResponseError, match="No such client"):
        third.client_kill("127.0.0.1:1")
    assert third.ping()


def test_who_kills_all_is_killed_last_and_told_before(proxy: Proxy) -> None:
    clients = clients_on_all(proxy)
    assert clients[1].execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") == WORKERS
    for client in clients:
        with pytest.raises(redis.ConnectionError):
            client.ping()


def test_client_unblock_reaches_every_worker(proxy: Proxy) -> None:
    first, second, third = clients_on_all(proxy)
    blocked_id, got = int(third.client_id()), []
    waiting = threading.Thread(target=lambda: got.append(third.blpop(["nothing-comes"], 20)))
    waiting.start()
    wait_until(lambda: first.client_unblock(blocked_id), "it was unblocked")
    waiting.join(5)
    assert got == [None] and not second.client_unblock(blocked_id)


def test_other_workers_are_not_asked_inside_of_multi(proxy: Proxy) -> None:
    client = clients_on_all(proxy)[0]
    client.execute_command("MULTI")
    with pytest.raises(redis.ResponseError, match="inside of MULTI"):
        client.execute_command("CLIENT", "LIST")
    with pytest.raises(redis.exceptions.ExecAbortError):
        client.execute_command("EXEC")
    assert client.ping()


def test_a_worker_that_does_not_answer_is_seen_and_holds_up_only_who_asks_for_it(proxy: Proxy) -> None:
    first, second, third = clients_on_all(proxy)
    pid = workers_of(proxy)[2]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert first.set("key", "value")
        with pytest.raises(redis.ResponseError, match="worker 3 has not answered"):
            second.client_list()
        assert [worker["answers"] for worker in workers_of(proxy)] == [True, True, False]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert third.get("key") == "value"


def test_the_figures_are_those_of_all_workers(proxy: Proxy) -> None:
    clients = clients_on_all(proxy)
    for client in clients:
        client.get("key")
    info, metrics = proxy.info(), proxy.get("/metrics")[1].decode()
    assert [worker["commands"] for worker in info["workers"]] == [
        1,
        1,
        1,
    ] and "redisproxy_commands_total 3.0" in metrics
    assert info["clients"]["open"] == WORKERS and [worker["clients"] for worker in info["workers"]] == [1, 1, 1]
    assert "redisproxy_clients_open 3.0" in metrics and 'redisproxy_worker_clients{worker="2"} 1.0' in metrics


def test_clients_are_spread_evenly_after_many_have_come_and_gone(proxy: Proxy) -> None:
    socks = [proxy.connect() for _ in range(1000)]
    wait_until(lambda: proxy.info()["clients"]["open"] == 1000, "all are connected")
    for sock in socks[::2]:
        sock.close()
    wait_until(lambda: proxy.info()["clients"]["open"] == 500, "half of them have gone")
    more = []
    for _ in range(10):
        time.sleep(0.2)  # workers tell who has left a twentieth of a second later, on a busy machine more
        more += [proxy.connect() for _ in range(10)]
    wait_until(lambda: proxy.info()["clients"]["open"] == 600, "more have come")
    counts = [worker["clients"] for worker in workers_of(proxy)]
    assert max(counts) - min(counts) <= 20, counts
    for sock in [*socks[1::2], *more]:
        sock.close()


# -- a worker is lost


def test_a_killed_worker_costs_its_own_clients_only_and_is_replaced(proxy: Proxy) -> None:
    first, second, third = clients_on_all(proxy)
    ids = {int(client.client_id()) for client in (first, second, third)}
    lost_id = second.client_id()
    time.sleep(1.5)  # who the clients are is told once a second
    os.kill(workers_of(proxy)[1]["pid"], signal.SIGKILL)
    with pytest.raises(redis.ConnectionError):
        second.ping()
    assert first.ping() and third.ping()
    wait_until(lambda: workers_of(proxy)[1]["restarts"] == 1, "its end is noticed")
    all_there(proxy)
    again = proxy.client(single_connection_client=True)
    assert worker_of(again) == 2 and int(again.client_id()) not in ids
    assert "worker 2 (process" in proxy.log and "its 1 clients are disconnected" in proxy.log
    assert f"they were: {lost_id} from 127.0.0.1:" in proxy.log
    assert proxy.info()["clients"]["closed"]["worker_lost"] == 1


def test_a_worker_that_is_killed_in_traffic_loses_no_reply_of_others(proxy: Proxy) -> None:
    with Traffic(proxy) as traffic:
        os.kill(workers_of(proxy)[0]["pid"], signal.SIGKILL)
        time.sleep(0.5)
        all_there(proxy)
        proxy.do("reload")
    assert len(traffic.problems) == 3
    disconnected = [each for each in traffic.problems if "Connection" in each or each.endswith("got b''")]
    assert disconnected == traffic.problems


def test_a_replaced_worker_begins_paused_in_a_pause(proxy: Proxy) -> None:
    proxy.do("pause")
    os.kill(workers_of(proxy)[0]["pid"], signal.SIGKILL)
    wait_until(lambda: workers_of(proxy)[0]["restarts"] == 1, "its end is noticed")
    all_there(proxy)
    assert proxy.info()["state"] == "paused"
    sock = proxy.connect(0.5)
    sock.sendall(b"PING\r\n")
    with pytest.raises(TimeoutError):
        sock.recv(100)
    proxy.do("unpause")
    assert sock.recv(100) == b"+PONG\r\n"


# -- limits


def test_the_limit_of_clients_is_that_of_all_workers(server: RedisServer) -> None:
    with Proxy(server.uplink, workers=WORKERS, limits={"max_clients": 5}) as proxy:
        all_there(proxy)
        clients = [proxy.client(single_connection_client=True) for _ in range(5)]
        assert all(client.ping() for client in clients)
        with pytest.raises(redis.ConnectionError, match="max number of clients"):
            proxy.client(single_connection_client=True).ping()
        clients[0].close()
        wait_until(lambda: proxy.info()["clients"]["open"] == 4, "one has gone")
        time.sleep(0.2)
        assert proxy.client(single_connection_client=True).ping()


def test_workers_are_not_given_up_by_a_reload(proxy: Proxy) -> None:
    proxy.write(workers=1)
    status, answer = proxy.admin("reload")
    assert (
        status == 400 and "workers: a reload can't change between 1 and more; redisproxy upgrade can" in answer["error"]
    )


def test_raw_clients_are_given_to_workers_too(server: RedisServer) -> None:
    port = free_port()
    raw = {"addr": f"127.0.0.1:{port}"}
    with Proxy(server.uplink, workers=WORKERS, listen_raw=raw, limits={"max_raw_connections": 3}) as proxy:
        all_there(proxy)
        clients = [redis.Redis(port=port, single_connection_client=True) for _ in range(3)]
        assert all(client.ping() for client in clients)
        wait_until(lambda: proxy.info()["raw_connections"] == 3, "they are counted")
        with pytest.raises(redis.ConnectionError, match="max number of clients"):
            redis.Redis(port=port, single_connection_client=True).ping()
        assert proxy.do("terminate-raw-connections")["terminated"] == 3
        wait_until(lambda: proxy.info()["raw_connections"] == 0, "they have gone")


def test_clients_come_by_a_unix_socket(server: RedisServer, tmp_path: Path) -> None:
    path = str(tmp_path / "proxy.sock")
    listen = [{"addr": f"127.0.0.1:{free_port()}"}, {"addr": path, "network": "unix"}]
    with Proxy(server.uplink, workers=WORKERS, listen=listen) as proxy:
        all_there(proxy)
        client = redis.Redis(unix_socket_path=path, single_connection_client=True)
        assert client.ping()
        proxy.stop()
        assert not os.path.exists(path)


# -- TLS


def test_tls_handshakes_are_made_in_workers(server: RedisServer, tmp_path: Path) -> None:
    with Proxy(server.uplink, tls=Certificates(tmp_path), workers=WORKERS) as proxy:
        all_there(proxy)
        clients = clients_on_all(proxy)
        assert all(client.set("tls", 1) for client in clients)
        proxy.do("reload")
        assert [client.get("tls") for client in clients] == ["1"] * WORKERS
        silent = socket.create_connection(("127.0.0.1", proxy.port))  # its handshake holds nobody up
        assert clients[0].ping()
        silent.close()


# -- switchovers


def switched(proxy: Proxy, new: RedisServer) -> dict[str, Any]:
    proxy.write(uplink=new.uplink)
    return proxy.do("switchover")


def test_a_switchover_moves_all_workers_as_one(tmp_path: Path) -> None:
    with RedisServer() as old, RedisServer() as new, Proxy(old.uplink, workers=WORKERS) as proxy:
        all_there(proxy)
        with Traffic(proxy) as traffic:
            report = switched(proxy, new)["report"]
            time.sleep(0.3)
        assert report["result"] == "done" and traffic.problems == []
        assert all(new.client().get(client.key) == proxy.client().get(client.key) for client in traffic.clients)
        assert all(worker["restarts"] == 0 for worker in workers_of(proxy))


def test_scripts_of_workers_that_were_killed_right_after_their_answer_are_at_the_next_server() -> None:
    with RedisServer() as old, RedisServer() as new, Proxy(old.uplink, workers=WORKERS) as proxy:
        all_there(proxy)
        first, second, third = clients_on_all(proxy)
        bodies = ["return 'small'", f"-- {'x' * 200_000}\nreturn 'large'"]
        pids = [worker["pid"] for worker in workers_of(proxy)]
        digests = []
        for client, pid, body in zip((first, second), pids, bodies, strict=False):
            digests.append(client.script_load(body))
            os.kill(pid, signal.SIGKILL)
        assert switched(proxy, new)["report"]["result"] == "done"
        assert [third.evalsha(digest, 0) for digest in digests] == ["small", "large"]


@pytest.mark.parametrize("after_s", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_a_worker_that_is_killed_in_a_switchover_costs_its_own_clients_only(after_s: float) -> None:
    with RedisServer() as old, RedisServer() as new, Proxy(old.uplink, workers=WORKERS) as proxy:
        all_there(proxy)
        pid = workers_of(proxy)[1]["pid"]
        with Traffic(proxy) as traffic:
            proxy.write(uplink=new.uplink)
            killing = threading.Timer(after_s, os.kill, (pid, signal.SIGKILL))
            killing.start()
            status, answer = proxy.admin("switchover")
            killing.join()
            all_there(proxy)
            time.sleep(0.3)
        assert len(traffic.problems) == 3
        assert status == 200, answer
        for client in traffic.clients:
            if not client.problem:
                assert int(str(new.client().get(client.key))) > 0
        for each in clients_on_all_again(proxy):
            each.set("where", "new")
        assert new.client().get("where") == "new"


def clients_on_all_again(proxy: Proxy) -> list[redis.Redis]:
    clients = [proxy.client(single_connection_client=True) for _ in range(4 * WORKERS)]
    assert {worker_of(client) for client in clients} == set(range(1, WORKERS + 1))
    return clients


# -- the end


def test_stopping_leaves_no_process_behind(server: RedisServer) -> None:
    with Proxy(server.uplink, workers=WORKERS) as proxy:
        all_there(proxy)
        pids = [worker["pid"] for worker in workers_of(proxy)]
        clients = clients_on_all(proxy)
        started = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - started < 5
        assert not any(map(alive, pids))
        for client in clients:
            with pytest.raises(redis.ConnectionError):
                client.ping()


def test_workers_end_with_their_last_client_when_the_control_process_is_killed(server: RedisServer) -> None:
    with Proxy(server.uplink, workers=WORKERS) as proxy:
        all_there(proxy)
        pids = [worker["pid"] for worker in workers_of(proxy)]
        with Traffic(proxy) as traffic:
            proxy.process.kill()
            wait_until(lambda: not alive(proxy.process.pid), "it has ended")
            time.sleep(1)
            assert all(map(alive, pids))
        assert traffic.problems == []
        wait_until(lambda: not any(map(alive, pids)), "the workers have ended", 60)


def test_workers_end_by_themselves_when_the_control_process_is_killed_while_they_start(server: RedisServer) -> None:
    with Proxy(server.uplink, workers=WORKERS, wait=False) as proxy:

        def children() -> list[int]:
            listed = subprocess.run(
                ["pgrep", "-P", str(proxy.process.pid)], capture_output=True, text=True, check=False
            )
            return [int(pid) for pid in listed.stdout.split()]

        wait_until(lambda: len(children()) == WORKERS, "they are started")
        pids = children()
        proxy.process.kill()
        wait_until(lambda: not any(map(alive, pids)), "the workers have ended", 60)


def test_the_workers_are_out_of_reach_of_ctrl_c_and_sigterm(proxy: Proxy) -> None:
    pids = [worker["pid"] for worker in workers_of(proxy)]
    for pid in pids:
        assert os.getpgid(pid) != os.getpgid(proxy.process.pid)
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
    time.sleep(0.2)
    assert all(map(alive, pids)) and proxy.client().ping()


def test_processes_with_nothing_to_do_are_seldom_woken(proxy: Proxy) -> None:
    pids = [proxy.process.pid, *(worker["pid"] for worker in workers_of(proxy))]
    time.sleep(1.1)  # what the clients of this test's beginning have left to be told
    before = [_times_woken(pid) for pid in pids]
    time.sleep(2)
    assert max(_times_woken(pid) - earlier for pid, earlier in zip(pids, before, strict=True)) < 50


def _times_woken(pid: int) -> int:
    """How often the process has begun to wait (voluntary context switches, proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches:"))


def test_workers_are_scheduled_as_one_with_the_control_process(proxy: Proxy) -> None:
    """Linux weighs whole sessions against each other, and would wake each worker for every single command."""
    assert {os.getsid(worker["pid"]) for worker in workers_of(proxy)} == {os.getsid(proxy.process.pid)}
