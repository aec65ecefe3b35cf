"""Three real proxies operated as one, in front of real servers, with clients at work on all of them."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, free_port, wait_until

pytestmark = pytest.mark.one_twin

COUNT = 3
SECRET = "only for this test, and long enough"
LEASE_MS = 1000
ABOVE_S = 8.0
"""Beyond the lease, on a machine with much to do."""


HOOK = """#!{python} -IS
import json, os, signal, socket, sys, time
asked = json.load(sys.stdin)
if asked["step"] in ("replicate", "promote"):
    where = ["NO", "ONE"]
    if asked["step"] == "replicate":
        where = [asked["source"]["host"], str(asked["source"]["port"])]
    with socket.create_connection(("127.0.0.1", asked["new"]["port"])) as connection:
        connection.sendall(" ".join(["REPLICAOF", *where]).encode() + b"\\r\\n")
        assert connection.recv(100).startswith(b"+OK")
if asked["step"] == "promote" and os.path.exists({stalls!r}):
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep({stalls_s})
    os.kill(os.getppid(), signal.SIGCONT)
"""
"""Does what a managed service does; while a file is there, the proxy stands still behind the promotion."""
STALLS_S = 3.0


class Fleet:
    """Proxies with the same list of peers."""

    def __init__(
        self, stack: ExitStack, server: RedisServer, count: int = COUNT, workers: int = 1, **fleet: Any
    ) -> None:
        self.peers = [f"127.0.0.1:{free_port()}" for _ in range(count)]
        more: dict[str, Any] = {"switchover": {"pause_budget_ms": 4000}, "workers": workers, "wait": False}
        self.proxies = [
            stack.enter_context(Proxy(server.uplink, fleet=self._section(at, fleet), **more)) for at in range(count)
        ]
        self.assemble()

    def _section(self, at: int, more: dict[str, Any]) -> dict[str, Any]:
        listen = {"addr": self.peers[at], **more.get("listen", {})}
        secret = {} if "listen" in more else {"secret": SECRET}
        return {"peers": self.peers, "lease_ms": LEASE_MS, **secret, **more, "listen": listen}

    def assemble(self) -> None:
        try:
            wait_until(lambda: all(map(sees_all, self.proxies)), "all peers are connected", 60)
        except AssertionError as error:
            raise AssertionError("\n".join(proxy.log for proxy in self.proxies)) from error

    def point_at(self, server: RedisServer) -> None:
        for proxy in self.proxies:
            proxy.write(uplink=server.uplink)

    def servers(self) -> set[str]:
        return {proxy.info()["uplink"]["address"] for proxy in self.proxies}

    def states(self) -> list[str]:
        return [proxy.info()["state"] for proxy in self.proxies]


def sees_all(proxy: Proxy) -> bool:
    return faults_of(proxy) == "[]" and all(peer.get("connected") for peer in fleet_of(proxy)["peers"])


def faults_of(proxy: Proxy) -> str:
    try:
        return str(fleet_of(proxy)["faults"])
    except OSError:
        return "it is still starting"


def fleet_of(proxy: Proxy) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(proxy.get("/fleet.json")[1])
    return found


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[RedisServer, RedisServer]]:
    with RedisServer() as one, RedisServer() as other:
        yield one, other


@pytest.fixture(scope="module")
def fleet(servers: tuple[RedisServer, RedisServer]) -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack, servers[0])


@contextmanager
def at_work(fleet: Fleet, server: RedisServer, ends_at: RedisServer | None = None) -> Iterator[None]:
    """Clients at all proxies; every reply is right, and in the end the server has what they were told."""
    server.client().flushall()
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(proxy, 4, first=100 * at)) for at, proxy in enumerate(fleet.proxies)]
        yield
    for load in loads:
        load.check(ends_at or server)


def test_each_shows_all_others(fleet: Fleet) -> None:
    told = fleet_of(fleet.proxies[0])
    assert told["self"]["name"] == fleet.peers[0]
    assert sorted(peer["name"] for peer in told["peers"]) == sorted(fleet.peers[1:])
    assert all(peer["same_server"] and peer["connected"] and peer["lag_ms"] > 0 for peer in told["peers"])
    metrics = fleet.proxies[0].get("/metrics")[1].decode()
    assert f'redisproxy_fleet_peer_state{{peer="{fleet.peers[1]}",state="running"}} 1.0' in metrics
    assert "redisproxy_fleet_peers 2.0" in metrics and "redisproxy_fleet_lease_seconds 1.0" in metrics
    short = fleet.proxies[1].info()["fleet"]
    assert (short["peers"], short["reachable"], short["on_another_server"]) == (COUNT - 1, COUNT - 1, 0)
    shown = redisproxy("fleet", fleet.proxies[2])
    assert shown.returncode == 0 and fleet.peers[0] in shown.stdout, shown.stdout + shown.stderr


def redisproxy(command: str, proxy: Proxy, *options: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "redisproxy.cli", command, "-c", str(proxy.path), *options]
    return subprocess.run(program, capture_output=True, text=True, env={"COLUMNS": "200", "PATH": ""})


def test_a_pause_is_for_all_and_with_here_for_one(fleet: Fleet) -> None:
    one, other, _ = fleet.proxies
    answer = one.do("pause-and-wait")
    assert fleet.states() == ["paused"] * COUNT and len(answer["peers"]) == COUNT
    other.do("unpause")
    assert fleet.states() == ["running"] * COUNT
    assert redisproxy("pause", one, "--here").returncode == 0
    assert fleet.states() == ["paused", "running", "running"]
    one.do("unpause", fleet=0)
    assert fleet.states() == ["running"] * COUNT


def test_a_file_that_names_another_server_refuses_it_all(
    fleet: Fleet, servers: tuple[RedisServer, RedisServer]
) -> None:
    one, other = servers
    fleet.proxies[2].write(uplink=other.uplink)
    status, answer = fleet.proxies[0].admin("reload")
    fleet.point_at(one)
    assert status == 400
    assert f"the peer {fleet.peers[2]}: its configuration file names 127.0.0.1:{other.port}" in answer["error"]
    assert fleet.servers() == {f"127.0.0.1:{one.port}"}


def test_all_reload_and_switch_over_together_and_no_client_notices(
    fleet: Fleet, servers: tuple[RedisServer, RedisServer]
) -> None:
    one, other = servers
    with at_work(fleet, one):
        reloaded = fleet.proxies[0].do("reload")
        fleet.point_at(other)
        there = fleet.proxies[1].do("switchover")
        back = fleet.proxies[2].do("switchover", back=1)
        fleet.point_at(one)
    assert fleet.servers() == {f"127.0.0.1:{one.port}"}
    for answer in (reloaded, there, back):
        assert sorted(peer["peer"] for peer in answer["peers"]) == sorted(fleet.peers)
        assert all(peer["pause_ms"] > 0 and peer["clients_closed"] == {} for peer in answer["peers"])
    metrics = fleet.proxies[1].get("/metrics")[1]
    assert b'redisproxy_fleet_operations_total{operation="switchover",result="done"} 1.0' in metrics
    led = fleet.proxies[0].info()["switchover"]["last"][0]
    assert led["led_by"] == fleet.peers[2] and led["result"] == "done"


def test_another_one_may_lead_the_way_back_and_all_is_set_as_it_was(
    fleet: Fleet, servers: tuple[RedisServer, RedisServer]
) -> None:
    one, other = servers
    one.client().config_set("masterauth", "of its own")
    for proxy in fleet.proxies:
        proxy.write(uplink=other.uplink, switchover={"pause_budget_ms": 4000, "keep_way_back": True})
    there = fleet.proxies[0].do("switchover")
    assert there["report"]["way_back"]["follows"] and one.client().config_get("masterauth")["masterauth"] == ""
    assert all(proxy.info()["switchover"]["way_back"]["follows"] for proxy in fleet.proxies)
    back = fleet.proxies[1].do("switchover", back=1)
    fleet.point_at(one)
    assert one.client().config_get("masterauth")["masterauth"] == "of its own"
    assert "masterauth" not in " ".join(back["report"]["warnings"]), back
    for proxy in fleet.proxies:
        proxy.write(switchover={"pause_budget_ms": 4000})


@pytest.fixture
def hooked(
    fleet: Fleet, servers: tuple[RedisServer, RedisServer], tmp_path: Path
) -> Iterator[tuple[RedisServer, RedisServer, Path]]:
    """The server in use, the one that all files name, with hooks, and the file that has the leader stand still."""
    one, other = servers
    program, stalls = tmp_path / "hook", tmp_path / "stalls"
    program.write_text(HOOK.format(python=sys.executable, stalls=str(stalls), stalls_s=STALLS_S))
    program.chmod(0o700)
    hooks = {each: {"command": [str(program)], "limit_ms": 60_000} for each in ("replicate", "promote", "done")}
    for proxy in fleet.proxies:
        proxy.write(uplink=other.uplink, switchover={"pause_budget_ms": 2000, "replace_data": True, "hooks": hooks})
    other.client().replicaof("NO", "ONE")
    other.client().config_set("min-replicas-to-write", 0)
    yield one, other, stalls
    one.client().config_set("min-replicas-to-write", 0)
    for proxy in fleet.proxies:
        proxy.write(uplink=one.uplink, switchover={"pause_budget_ms": 4000, "replace_data": True})
    assert fleet.proxies[0].do("switchover")["report"]["result"] == "done"
    for proxy in fleet.proxies:
        proxy.write(switchover={"pause_budget_ms": 4000})


def test_programs_replicate_and_promote_for_all(fleet: Fleet, hooked: tuple[RedisServer, RedisServer, Path]) -> None:
    one, other, _ = hooked
    with at_work(fleet, one, other):
        answer = fleet.proxies[0].do("switchover")
    assert [hook["hook"] for hook in answer["report"]["hooks"]] == ["replicate", "promote", "done"]
    assert fleet.servers() == {f"127.0.0.1:{other.port}"}
    assert all(peer["pause_ms"] > 0 and peer["clients_closed"] == {} for peer in answer["peers"])


def test_a_leader_that_stood_still_behind_the_promotion_says_where_the_servers_have_led_to(
    fleet: Fleet, hooked: tuple[RedisServer, RedisServer, Path]
) -> None:
    one, other, stalls = hooked
    stalls.touch()
    with at_work(fleet, one, other):
        answer = fleet.proxies[0].do("switchover")
    report = answer["report"]
    assert report["result"] == "done" and report["error"] == "" and answer["state"] == "running", report
    assert any("the servers had the last word" in text for text in report["warnings"]), report
    assert fleet.proxies[0].info()["switchover"]["last"][0]["result"] == "done"
    assert fleet.servers() == {f"127.0.0.1:{other.port}"}


def test_of_two_leaders_one_is_refused_and_says_why(fleet: Fleet) -> None:
    answers: list[tuple[int, dict[str, Any]]] = []

    def reload(proxy: Proxy) -> None:
        answers.append(proxy.admin("reload"))

    for _ in range(5):
        both = [threading.Thread(target=reload, args=(proxy,)) for proxy in fleet.proxies[:2]]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(30)
    refused = [answer["error"] for status, answer in answers if status != 200]
    assert len(answers) == 10 and len(refused) <= 5
    assert all("is running already" in error for error in refused), refused
    assert not any("--here" in error for error in refused), "alone, it would get in the way of the other one"


@pytest.fixture
def waiting(fleet: Fleet, servers: tuple[RedisServer, RedisServer]) -> Iterator[threading.Thread]:
    """A switchover, led by the first one, that waits for the operator while all hold their clients."""
    one, other = servers
    other.client().replicaof("NO", "ONE")
    for proxy in fleet.proxies:
        proxy.write(uplink=other.uplink, switchover={"mode": "external", "external_deadline_ms": 60_000})
    leading = threading.Thread(target=lambda: _asked(fleet.proxies[0], "switchover"))
    leading.start()
    wait_until(lambda: fleet.states() == ["paused"] * COUNT, "all hold their clients")
    yield leading
    _asked(fleet.proxies[0], "switchover-abort")
    leading.join(30)
    for proxy in fleet.proxies:
        proxy.write(uplink=one.uplink, switchover={"pause_budget_ms": 4000})
        if proxy.process.poll() is not None:
            proxy.restart()
    fleet.assemble()


def _asked(proxy: Proxy, command: str) -> None:
    with suppress(OSError):  # it has died
        proxy.admin(command)


def test_any_of_them_aborts_what_one_leads(fleet: Fleet, waiting: threading.Thread) -> None:
    assert fleet.proxies[2].do("switchover-abort")["report"]["result"] == "rolled_back"
    waiting.join(10)
    wait_until(lambda: fleet.states() == ["running"] * COUNT, "all let their clients go on")
    assert fleet.proxies[1].info()["switchover"]["last"][0]["led_by"] == fleet.peers[0]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_peers_that_lose_their_leader_let_their_clients_go_on(
    fleet: Fleet, waiting: threading.Thread, how: signal.Signals
) -> None:
    leader, *peers = fleet.proxies
    leader.process.send_signal(how)
    began = time.monotonic()
    try:
        wait_until(lambda: all(peer.info()["state"] == "running" for peer in peers), "they go on")
        assert time.monotonic() - began < LEASE_MS / 1000 + ABOVE_S
        assert all(peer.client().ping() for peer in peers)
    finally:
        leader.process.send_signal(signal.SIGCONT)
        if how == signal.SIGKILL:
            leader.process.wait()


def test_a_peer_that_is_missing_refuses_it_all_by_name(fleet: Fleet) -> None:
    missing = fleet.proxies[1]
    missing.process.kill()
    missing.process.wait()
    status, answer = fleet.proxies[0].admin("switchover")
    assert status == 409 and fleet.peers[1] in answer["error"] and "--here" in answer["error"]
    assert "clients of the others can write nothing" in answer["error"]
    status, answer = fleet.proxies[0].admin("reload")
    assert status == 409 and answer["error"].endswith("(--here) this proxy does it alone")
    assert redisproxy("fleet", fleet.proxies[0]).returncode == 1
    status, answer = fleet.proxies[0].admin("unpause")
    assert status == 503 and fleet.peers[1] in answer["error"]
    missing.restart()
    fleet.assemble()
    assert fleet.proxies[0].do("reload")["peers"]


def test_a_peer_that_hangs_is_named_once_and_the_others_go_on(fleet: Fleet) -> None:
    leader, hangs, other = fleet.proxies
    fleet.proxies[0].do("pause-and-wait")
    hangs.process.send_signal(signal.SIGSTOP)
    try:
        status, answer = leader.admin("unpause")
        assert status == 503 and answer["error"].count(fleet.peers[1]) == 1
        assert [leader.info()["state"], other.info()["state"]] == ["running"] * 2
    finally:
        hangs.process.send_signal(signal.SIGCONT)
    fleet.assemble()
    leader.do("unpause")
    assert fleet.states() == ["running"] * COUNT


OLDER = """
import pathlib
from redisproxy.remote.order_server import OrderServer
knows, lacks = OrderServer.responder, pathlib.Path({lacks!r})
OrderServer.responder = lambda self, name: None if name in lacks.read_bytes().split() else knows(self, name)
"""


@pytest.fixture
def lacks(fleet: Fleet, tmp_path: Path) -> Iterator[Path]:
    """The file that names the orders which the second proxy does not know."""
    older, file = fleet.proxies[1], tmp_path / "lacks"
    file.write_text("")
    older.stop()
    older.process = older._start(OLDER.format(lacks=str(file)))
    fleet.assemble()
    yield file
    older.stop()
    older.restart()
    fleet.assemble()


def test_peers_of_another_version_and_peers_that_are_lost_in_a_copy(
    fleet: Fleet, lacks: Path, servers: tuple[RedisServer, RedisServer]
) -> None:
    one, other = servers
    lacks.write_text("Claim Pause")
    for asked in ("reload", "pause-and-wait"):
        fleet.assemble()  # who does not know an order is left
        status, answer = fleet.proxies[0].admin(asked)
        assert status in (400, 409) and fleet.peers[1] in answer["error"] and "older version" in answer["error"]
        fleet.proxies[0].do("unpause")
    lacks.write_text("Bring")  # the leader goes on without it, and it asks the servers
    fleet.assemble()
    one.client().flushall()
    fleet.point_at(other)
    for proxy in fleet.proxies:
        proxy.write(switchover={"mode": "copy", "replace_data": True, "pause_budget_ms": 4000})
    report = fleet.proxies[0].do("switchover")["report"]
    assert any("a peer that was lost looks for it" in each for each in report["warnings"])
    wait_until(lambda: fleet.servers() == {f"127.0.0.1:{other.port}"}, "the one that was lost finds there")
    lacks.write_text("")
    fleet.assemble()
    fleet.point_at(one)
    for proxy in fleet.proxies:
        proxy.write(switchover={"mode": "replicate", "replace_data": True, "pause_budget_ms": 4000})
    fleet.proxies[0].do("switchover")
    assert fleet.servers() == {f"127.0.0.1:{one.port}"}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def with_workers(servers: tuple[RedisServer, RedisServer], certificates: Certificates) -> Iterator[Fleet]:
    """Two proxies of two workers each, with certificates in place of a secret."""
    tls = {"tls": True, "certfile": certificates.cert, "keyfile": certificates.key, "cacertfile": certificates.ca}
    with ExitStack() as stack:
        yield Fleet(stack, servers[0], 2, workers=2, listen=tls)


def test_proxies_with_workers_switch_over_together_and_no_client_notices(
    with_workers: Fleet, servers: tuple[RedisServer, RedisServer]
) -> None:
    fleet, (one, other) = with_workers, servers
    other.client().replicaof("NO", "ONE")
    for proxy in fleet.proxies:
        proxy.write(uplink=other.uplink, switchover={"pause_budget_ms": 4000, "replace_data": True})
    with at_work(fleet, one):
        there = fleet.proxies[0].do("switchover")
        back = fleet.proxies[1].do("switchover", back=1)
        fleet.point_at(one)
    assert fleet.servers() == {f"127.0.0.1:{one.port}"}
    for answer in (there, back):
        assert answer["report"]["result"] == "done" and len(answer["peers"]) == 2
        assert all(peer["pause_ms"] > 0 and peer["clients_closed"] == {} for peer in answer["peers"])
    assert all(len(proxy.info()["workers"]) == 2 for proxy in fleet.proxies)


def test_certificates_prove_it_too(with_workers: Fleet, certificates: Certificates, tmp_path: Path) -> None:
    assert with_workers.proxies[0].do("pause-and-wait")["peers"]
    assert with_workers.states() == ["paused", "paused"]
    with_workers.proxies[1].do("unpause")
    foreign = Certificates(tmp_path / "foreign")
    assert is_refused(with_workers, certificates, None)
    assert is_refused(with_workers, certificates, (foreign.cert, foreign.key))
    replace_certificate(with_workers, certificates, tmp_path)


def replace_certificate(fleet: Fleet, certificates: Certificates, folder: Path) -> None:
    """A certificate that is replaced is shown from then on, and half of one changes nothing; so does a reload."""
    before = shown_by(fleet, certificates)
    cert, key = certificates.issue(folder, "renewed", "127.0.0.1")
    Path(certificates.key).write_text("half of it")
    assert shown_by(fleet, certificates) == before
    Path(certificates.cert).write_bytes(Path(cert).read_bytes())
    Path(certificates.key).write_bytes(Path(key).read_bytes())
    renewed = shown_by(fleet, certificates)
    assert renewed != before
    cert, key = certificates.issue(folder, "another", "127.0.0.1")
    for proxy in fleet.proxies:
        proxy.config["fleet"]["listen"] |= {"certfile": cert, "keyfile": key}
        proxy.write()
    fleet.assemble()
    fleet.proxies[0].do("reload")
    assert shown_by(fleet, certificates) not in (before, renewed)


def is_refused(fleet: Fleet, certificates: Certificates, shown: tuple[str, str] | None) -> bool:
    """Whether the handshake fails for whoever shows this certificate, or none, at the port of the first one."""
    context = ssl.create_default_context(cafile=certificates.ca)
    if shown is not None:
        context.load_cert_chain(*shown)
    host, _, port = fleet.peers[0].partition(":")
    with socket.create_connection((host, int(port)), 30) as bare:
        try:
            with context.wrap_socket(bare, server_hostname=host) as it:
                it.recv(1000)
        except ssl.SSLError as error:
            return "ALERT" in str(error)
    return False


def shown_by(fleet: Fleet, certificates: Certificates) -> bytes:
    """The certificate at the port of the first one."""
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.client_cert, certificates.client_key)
    host, _, port = fleet.peers[0].partition(":")
    with socket.create_connection((host, int(port)), 10) as bare, context.wrap_socket(bare, server_hostname=host) as it:
        found = it.getpeercert(binary_form=True)
    assert found
    return found


def test_another_secret_is_none(fleet: Fleet, servers: tuple[RedisServer, RedisServer]) -> None:
    own = f"127.0.0.1:{free_port()}"
    section = {"listen": {"addr": own}, "peers": [own, fleet.peers[0]], "secret": SECRET[::-1]}
    with Proxy(servers[0].uplink, fleet=section, wait=False) as stranger:
        wait_until(lambda: "is the secret the same?" in faults_of(stranger), "it is refused", 60)
        status, _ = stranger.admin("pause")
        assert status == 409 and fleet.states() == ["running"] * COUNT
        wait_until(lambda: "the other side has another secret" in fleet.proxies[0].log, "the log says so")
        assert SECRET not in fleet.proxies[0].log and SECRET[::-1] not in stranger.log
