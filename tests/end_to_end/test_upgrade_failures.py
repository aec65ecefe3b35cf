"""An upgrade that fails, at every point and with real processes: the old process stays in charge, and says why."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.harness import RedisServer, wait_until
from tests.end_to_end.upgrading import Hooked

pytestmark = pytest.mark.one_twin

AFTER = """
import os, signal
from redisproxy.dataplane.adoption import Adoption
adopt, count = Adoption.adopt, 0
async def adopt_some(self, state, fd):
    global count
    count += 1
    {what}
    await adopt(self, state, fd)
Adoption.adopt = adopt_some
"""
SEVENTH_CRASHES = AFTER.replace("{what}", "count < 7 or os.kill(os.getpid(), signal.SIGKILL)")
SEVENTH_STOPS = AFTER.replace("{what}", "count < 7 or os.kill(os.getpid(), signal.SIGSTOP)")
SEVENTH_ENDS = AFTER.replace(
    "{what}",
    "count == 7 and os.kill(os.getpid(), signal.SIGTERM)\n    from twisted.internet import reactor, task\n"
    "    await task.deferLater(reactor, 0.5 if count > 16 else 0, lambda: None)",
)
"""The last clients are still on the way when all others have been handed back."""
SEVENTH_PAUSES = AFTER.replace(
    "{what}", "count == 7 and os.system(f'(sleep 2; kill -CONT {os.getpid()}) & kill -STOP {os.getpid()}')"
)
REFUSES_SOME = """
from redisproxy.dataplane.adoption import Adoption
from redisproxy.dataplane.values import HandoverRefused
adopt = Adoption.adopt
async def adopt_some(self, state, fd):
    if not int(__import__("json").loads(state)["id"]) % 3:
        raise HandoverRefused("not this one")
    await adopt(self, state, fd)
Adoption.adopt = adopt_some
"""
CRASH_IN_CHARGE = """
from redisproxy.upgrade.place import Place
def crash(self, history, settled):
    import os
    os._exit(4)
Place.take_charge = crash
"""
DEAF_IN_CHARGE = """
from twisted.internet.defer import Deferred
from redisproxy.upgrade.taking_over import TakingOver
TakingOver._take_charge = lambda self, history: Deferred()
"""
KILL_OLD = """
import os, signal
from redisproxy.control.succession import Attempt
async def killed(self, successor, ready, stayed):
    os.kill(os.getpid(), signal.SIGKILL)
Attempt._pass_control = killed
"""
STOP_OLD = """
import os, signal
from redisproxy.upgrade.successor import RemoteSuccessor
take_charge = RemoteSuccessor.take_charge
async def stopped(self, history):
    await take_charge(self, history)
    os.kill(os.getpid(), signal.SIGSTOP)
RemoteSuccessor.take_charge = stopped
"""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: RedisServer) -> Iterator[Hooked]:
    """One proxy for all upgrades that fail; in the end it is upgraded."""
    with Hooked(server) as running:
        yield running
        running.on_disk("")
        running.upgrade()
        with running.connect() as client:
            assert running.check([client]) == 0


@pytest.fixture
def clients(proxy: Hooked) -> Iterator[list[socket.socket]]:
    made = proxy.clients_at_work()
    yield made
    for each in made:
        each.close()


def fails(proxy: Hooked, step: str, *told: str) -> dict[str, Any]:
    """Upgrade in vain: the answer, and the pages, say why."""
    status, answer = proxy.admin("upgrade")
    assert status == 502 and not answer["ok"], answer
    assert answer["step"].startswith(step) and all(each in answer["error"] for each in told), answer
    last = proxy.info()["upgrade"]["last"][0]
    assert not last["ok"] and last["error"] in answer["error"]
    return answer


@pytest.mark.parametrize(
    ("hook", "told"),
    [
        ("import redisproxy_that_is_not_there", "No module named 'redisproxy_that_is_not_there'"),
        ("import os; os._exit(3)", "exit code 3"),
        ("import os; os.abort()", "signal 6"),
        ("raise SystemExit('no licence')", "no licence"),
    ],
)
def test_a_program_that_does_not_start(proxy: Hooked, clients: list[socket.socket], hook: str, told: str) -> None:
    proxy.on_disk(hook)
    assert fails(proxy, "start", told)["lost"] == 0
    proxy.goes_on(clients)


def test_a_configuration_that_can_not_be_used(proxy: Hooked, clients: list[socket.socket]) -> None:
    proxy.hook = ""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        place = f"127.0.0.1:{busy.getsockname()[1]}"
        for change, told in (
            ({"uplink": {"addr": "x"}}, "uplink.addr: expected host:port"),
            ({"uplink": {"addr": place}}, f"names the server {place}"),
            ({"listen": [proxy.config["listen"], {"addr": place}]}, f"can't listen on {place}: Address already in use"),
        ):
            with proxy.changed(**change):
                fails(proxy, "start", told)
                proxy.goes_on(clients)


def test_a_program_that_hangs(proxy: Hooked, clients: list[socket.socket]) -> None:
    with proxy.changed(upgrade={"start_limit_ms": 2000}):
        proxy.do("reload")
        proxy.on_disk("import time; time.sleep(1000)")
        fails(proxy, "start", "was not ready within 2 s")
    proxy.goes_on(clients)
    proxy.do("reload")


def test_a_server_that_takes_no_more_connections(
    server: RedisServer, proxy: Hooked, clients: list[socket.socket]
) -> None:
    proxy.on_disk("")
    direct = server.client()
    with proxy.changed(upgrade={"start_limit_ms": 10000}):
        proxy.do("reload")
        direct.config_set(
            "maxclients", 1
        )  # who is connected stays: a number counted now may be one too many in a moment
        try:
            fails(proxy, "start", "the new process does not reach the server")
        finally:
            direct.config_set("maxclients", 10000)
    proxy.goes_on(clients)
    proxy.do("reload")


@pytest.mark.parametrize(
    ("hook", "step", "told", "lost"),
    [
        (SEVENTH_CRASHES, "hand over", "ended or hangs", range(6, 21)),
        (SEVENTH_STOPS, "hand over", "ended or hangs", range(6, 21)),
        (SEVENTH_ENDS, "", "", range(1)),
        (CRASH_IN_CHARGE, "take charge", "TakeCharge", range(20, 21)),
        (DEAF_IN_CHARGE, "take charge", "TakeCharge", range(1)),
    ],
)
def test_who_is_not_at_a_process_that_is_lost_goes_on(
    proxy: Hooked, clients: list[socket.socket], hook: str, step: str, told: str, lost: range
) -> None:
    proxy.on_disk(hook)
    answer = fails(proxy, step, told)
    assert proxy.check(clients) in lost and answer["lost"] in lost
    proxy.goes_on([])
    assert len(proxy.processes()) == 1


def test_a_pause_of_the_new_process_is_no_failure(server: RedisServer) -> None:
    with Hooked(server) as proxy:
        clients = proxy.clients_at_work()
        proxy.on_disk(SEVENTH_PAUSES)
        assert proxy.upgrade()["clients"] == 20
        assert proxy.check(clients) == 0


def test_who_is_refused_stays_and_is_served_until_it_leaves(server: RedisServer) -> None:
    with Hooked(server) as proxy:
        clients, old = proxy.clients_at_work(), proxy.pid
        proxy.on_disk(REFUSES_SOME)
        answer = proxy.upgrade()
        assert answer["clients"] + answer["stayed"] == 20 and 6 <= answer["stayed"] <= 7
        assert proxy.check(clients) == 0
        for each in clients:
            each.close()
        proxy.wait_for_the_end_of(old)


def test_the_new_process_takes_charge_when_the_old_one_is_killed(server: RedisServer) -> None:
    with Hooked(server, KILL_OLD) as proxy:
        clients = proxy.clients_at_work()
        proxy.on_disk("")
        with pytest.raises(OSError):
            proxy.admin("upgrade")
        wait_until(lambda: int(proxy.pidfile.read_text()) != proxy.pid, "the new one is in charge")
        proxy.pid = int(proxy.pidfile.read_text())
        proxy.pids.append(proxy.pid)
        proxy.goes_on(clients)
        assert "has ended before that was done: this one is in charge now" in proxy.log


def test_the_new_process_moves_nobody_before_the_old_one_has_given_its_place_up(server: RedisServer) -> None:
    with Hooked(server, STOP_OLD) as proxy:
        clients, old = proxy.clients_at_work(), proxy.pid
        proxy.on_disk("")
        thread = threading.Thread(target=lambda: proxy.admin("upgrade"), daemon=True)
        thread.start()
        wait_until(lambda: int(proxy.pidfile.read_text() or old) != old, "the new one is in charge")
        proxy.pid = int(proxy.pidfile.read_text())
        proxy.pids.append(proxy.pid)
        assert proxy.check(clients) == 0
        status, answer = proxy.admin("reload")
        assert status == 409 and "a take-over is running" in answer["error"], answer
        os.kill(old, signal.SIGCONT)
        proxy.wait_for_the_end_of(old)
        wait_until(lambda: proxy.admin("reload")[0] == 200, "it moves clients")
        assert proxy.check(clients) == 0
        thread.join(10)


def test_the_end_of_the_old_process_in_an_upgrade_ends_both(server: RedisServer) -> None:
    with Hooked(server) as proxy:
        clients = proxy.clients_at_work()
        proxy.on_disk("import time; time.sleep(1000)")
        thread = threading.Thread(target=lambda: proxy.admin("upgrade"), daemon=True)
        thread.start()
        wait_until(lambda: len(proxy.processes()) == 2, "the new process runs")
        assert proxy.check(clients) == 0
        assert proxy.stop() == 0
        assert not proxy.processes()
        thread.join(10)
