"""Switchovers to a server that its service makes a replica and promotes: hooks, and what they may do wrong."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.harness import Load, Proxy, RedisServer, redis_6, redis_8, wait_until

pytestmark = pytest.mark.one_twin

SERVICE_PASSWORD = "of-the-service"
PROXY_PASSWORD = "of-the-proxy"

PROGRAM = """#!{python} -IS
import json, os, socket, subprocess, sys, time
asked = json.load(sys.stdin)
step, old, new = asked["step"], asked["old"], asked["new"]
with open({calls!r}, "a") as file:
    file.write(json.dumps(asked) + "\\n")

def tell(*commands):
    with socket.create_connection(("127.0.0.1", new["port"])) as connection:
        replies = connection.makefile("rb")
        for command in (("AUTH", {password!r}), *commands):
            connection.sendall(b"%d\\r\\n" % 0 if not command else
                ("*%d\\r\\n" % len(command) + "".join("$%d\\r\\n%s\\r\\n" % (len(w), w) for w in command)).encode())
            assert replies.readline().startswith(b"+OK"), command

def replicate():
    tell(("REPLICAOF", asked["source"]["host"], str(asked["source"]["port"])))

def promote():
    tell(("REPLICAOF", "NO", "ONE"))

def undo():
    tell(("REPLICAOF", "NO", "ONE"), ("FLUSHALL",))

def done():
    print("well done")

exec(open({scripts!r} + "/" + step).read())
"""


SERVICE = """#!{python} -IS
import json, subprocess, sys
words = sys.argv[1:]
options = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
options |= dict(zip(words, words[1:]))
with open({calls!r}, "a") as file:
    file.write(json.dumps({{"step": " ".join(words)}}) + "\\n")
source = None
if "start-migration" in words:
    if words[0] == "aws" or "--customer-node-endpoint-list" in options:
        listed = dict(part.split("=") for part in options["--customer-node-endpoint-list"].split(","))
        source = listed["Address"], listed["Port"]
    else:
        source = options["--self-managed-source-ip-address"], options["--self-managed-source-port"]
asked = {{"old": None, "new": {{"port": {port}}}, "source": source and {{"host": source[0], "port": int(source[1])}}}}
step = "replicate" if source else "promote" if {{"complete-migration", "finish-migration"}} & set(words) else None
if step:
    done = subprocess.run([{hook!r}], input=json.dumps(asked | {{"step": step}}).encode())
    if done.returncode:
        sys.exit(done.returncode)
print("{{}}")
"""
JQ = """#!{python} -IS
import json, sys
value = json.load(sys.stdin)
for name in sys.argv[2].strip(".").split("."):
    value = value[name]
print(value)
"""


class World:
    """An old server, a managed one where the proxy may not replicate, and a proxy.

    @ivar calls: the file with what the hooks were asked.
    """

    def __init__(self, folder: Path) -> None:
        self.old = RedisServer(program=redis_6())
        self.new = RedisServer(
            "--masterauth", "", "--enable-debug-command", "yes", password=SERVICE_PASSWORD, program=redis_8()
        )
        rights = ["+@all", "-replicaof", "-slaveof", "-config", "-failover", "-debug", "-shutdown"]
        self.new.client().acl_setuser(
            "proxy", enabled=True, passwords=[f"+{PROXY_PASSWORD}"], keys=["*"], channels=["*"], commands=rights
        )
        self.calls, self.scripts = folder / "calls", folder
        program = folder / "hook"
        places = {"python": sys.executable, "calls": str(self.calls), "scripts": str(folder)}
        program.write_text(PROGRAM.format(password=SERVICE_PASSWORD, **places))
        program.chmod(0o700)
        self.hooks: dict[str, Any] = {}
        self._write_services(folder / "bin", program)
        self._environment = {"PATH": f"{folder / 'bin'}:{os.environ.get('PATH', os.defpath)}"}
        self.proxy = Proxy(self.old.uplink, environment=self._environment, wait=False)
        self.wait()

    def wait(self) -> None:
        """Wait until the proxy is ready."""
        wait_until(self.proxy._ready, "the proxy is ready", 60)

    def restart(self) -> None:
        """Start the proxy again after it has ended."""
        self.proxy.process = self.proxy._start(environment=self._environment)
        self.wait()

    def _write_services(self, folder: Path, hook: Path) -> None:
        """Programs that do to the managed server what C{aws} and C{gcloud} have their services do."""
        folder.mkdir()
        for name in ("aws", "gcloud", "jq"):
            place = {"python": sys.executable, "calls": str(self.calls), "hook": str(hook), "port": self.new.port}
            (folder / name).write_text((JQ if name == "jq" else SERVICE).format(**place))
            (folder / name).chmod(0o700)

    def prepare_documented(self, heading: str) -> None:
        """Have the file name the managed server, with the hooks that a page tells of."""
        self.prepare()
        section = (Path(__file__).parents[2] / "docs" / "managed.md").read_text().partition(f"## {heading}\n")[2]
        migrate = self.scripts / "migrate"
        migrate.write_text(section.partition("```sh\n")[2].partition("```")[0])
        migrate.chmod(0o700)
        steps = {"replicate": "start", "promote": "complete", "undo": "abort"}
        hooks = {step: {"command": [str(migrate), word], "limit_ms": 60000} for step, word in steps.items()}
        self.proxy.write(switchover={"pause_budget_ms": 30000, "hooks": hooks})

    @property
    def managed(self) -> dict[str, Any]:
        return {"addr": f"127.0.0.1:{self.new.port}", "user": "proxy", "pass": PROXY_PASSWORD}

    def prepare(self, limit_ms: int = 60000, budget_ms: int = 30000, **scripts: str) -> None:
        """Have the file name the managed server, with hooks that do these instead of what is right."""
        for step in ("replicate", "promote", "undo", "done"):
            (self.scripts / step).write_text(scripts.get(step, f"{step}()") + "\n")
        hook = {"command": [str(self.scripts / "hook")], "limit_ms": limit_ms}
        hooks = dict.fromkeys(("replicate", "promote", "undo", "done"), hook)
        self.proxy.write(uplink=self.managed, switchover={"pause_budget_ms": budget_ms, "hooks": hooks})

    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []

    def steps(self) -> list[str]:
        return [each["step"] for each in self.asked()]

    def switch(self) -> dict[str, Any]:
        """Switch over; the report, whatever comes of it."""
        _, answer = self.proxy.admin("switchover")
        assert "report" in answer, answer
        report: dict[str, Any] = answer["report"]
        return report

    def reset(self) -> None:
        """Everything as it was in the beginning."""
        self.calls.unlink(missing_ok=True)
        old, new = self.old.client(), self.new.client()
        old.config_set("min-replicas-to-write", 0)
        new.replicaof("NO", "ONE")
        new.flushall()
        self.proxy.write(uplink=self.old.uplink, switchover={})
        self.proxy.do("reload")
        old.flushall()

    def stop(self) -> None:
        self.proxy.__exit__()
        self.old.stop()
        self.new.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("hooks"))
    yield made
    made.stop()


@pytest.fixture
def world(running: World) -> World:
    running.reset()
    return running


def rolled_back(world: World, report: dict[str, Any], why: str) -> None:
    """Clients are at work at the old server, and the report says why."""
    assert report["result"] == "rolled_back" and why in report["error"], report
    assert world.old.client().set("after", "1") and world.proxy.client().get("after") == "1"
    assert world.proxy.info()["state"] == "running"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_service_replicates_and_promotes_and_nobody_notices(world: World) -> None:
    world.prepare(replicate='replicate(); print(json.dumps({"migration": 7}))', promote='print("soon"); promote()')
    world.old.client().set("kept", "1")
    with Load(world.proxy, 10) as load:
        report = world.switch()
        time.sleep(0.2)
    load.check(world.new)
    assert report["result"] == "done" and report["clients_closed"] == {}, report
    assert report["new_offset"] >= report["old_offset"] and world.new.client().get("kept") == "1"
    assert [(each["hook"], each["result"], each["output"]) for each in report["hooks"]] == [
        ("replicate", "ok", {"migration": 7}),
        ("promote", "ok", "soon"),
        ("done", "ok", "well done"),
    ]
    asked = world.asked()
    assert [each["step"] for each in asked] == ["replicate", "promote", "done"]
    assert asked[0]["source"] == {"host": "127.0.0.1", "port": world.old.port, "tls": False}
    assert asked[1]["new"] == {**asked[0]["new"], "host": "127.0.0.1", "port": world.new.port, "tls": False}
    assert asked[1]["report"]["old_offset"] == report["old_offset"] and asked[2]["report"]["result"] == "done"
    assert PROXY_PASSWORD not in json.dumps(asked) + json.dumps(world.proxy.info())
    assert "well done" in world.proxy.log


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("sys.exit(3)", "the replicate hook has failed (exit code 3)"),
        ("replicate(); os.kill(os.getpid(), 11)", "(signal 11)"),
        ("replicate(); sys.stderr.write('no such group\\n'); sys.exit(1)", "(exit code 1): no such group"),
        ("os.write(1, bytes(range(256)) * 4000); sys.exit(1)", "exit code 1"),
    ],
)
def test_a_replicate_hook_that_fails_is_undone(world: World, script: str, why: str) -> None:
    world.prepare(replicate=script)
    report = world.switch()
    rolled_back(world, report, why)
    assert world.steps() == ["replicate", "undo"] and report["hooks"][0]["result"] != "ok"
    assert world.new.client().role()[0] == "master"


def test_a_hook_that_hangs_is_killed_at_its_limit_with_its_children(world: World, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    world.prepare(
        limit_ms=3000,
        replicate=(
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "child = subprocess.Popen(['/bin/sh', '-c', \"trap '' TERM HUP; while :; do sleep 1; done\"])\n"
            f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
            "time.sleep(1000)"
        ),
    )
    report = world.switch()
    rolled_back(world, report, "the replicate hook has failed (killed after 3000 ms (limit_ms))")
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not alive(int(pid)), "it is gone")


def test_much_that_it_prints_is_not_kept_and_children_hold_nobody_up(world: World) -> None:
    noise = "[os.write(1, bytes(10**7)) for _ in range(10)]; subprocess.Popen(['/bin/sleep', '1000'])"
    world.prepare(replicate=f"replicate(); {noise}", promote="promote(); print('NaN')")
    report = world.switch()
    assert report["result"] == "done" and report["hooks"][0]["cut"], report["error"]
    assert len(json.dumps(report)) < 200_000 and report["hooks"][1]["output"] == "NaN"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("sys.exit(1)", "the promote hook has failed (exit code 1)"),
        ("promote(); sys.exit(1)", "the promote hook has failed (exit code 1)"),
        ("time.sleep(1000)", "the pause would have become longer than 1000 ms (switchover.pause_budget_ms)"),
        ("promote(); time.sleep(1000)", "the pause would have become longer than 1000 ms (switchover.pause_budget_ms)"),
        ("pass", "the pause would have become longer than 1000 ms (switchover.pause_budget_ms)"),
        ("promote(); tell(('DEBUG', 'CHANGE-REPL-ID'))", "does not continue the data of the old one"),
    ],
)
def test_a_promote_hook_that_fails_before_or_after_it_has_promoted_is_undone(
    world: World, script: str, why: str
) -> None:
    budget_ms = 1000 if "budget" in why else 30000
    world.prepare(budget_ms=budget_ms, promote=script)
    with Load(world.proxy, 5) as load:
        report = world.switch()
        time.sleep(0.1)
    load.check(world.old)
    rolled_back(world, report, why)
    assert world.steps() == ["replicate", "promote", "undo"]
    assert report["pause_ms"] < budget_ms + 2000 and report["clients_closed"] == {}
    assert world.old.client().config_get("min-replicas-to-write")["min-replicas-to-write"] == "0"
    if script == "promote(); sys.exit(1)":
        world.prepare()
        assert world.switch()["result"] == "done"


def test_an_undo_hook_that_fails_is_told(world: World) -> None:
    world.prepare(replicate="replicate(); sys.exit(1)", undo="sys.exit(9)")
    report = world.switch()
    rolled_back(world, report, "the undo hook has failed (exit code 9): the new server may still follow the old one")


def test_a_done_hook_that_fails_is_no_more_than_told(world: World) -> None:
    world.prepare(done="sys.exit(5)")
    report = world.switch()
    assert report["result"] == "done" and "the done hook has failed (exit code 5)" in report["warnings"]


def test_an_abort_kills_the_hook_and_undoes_it(world: World, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    world.prepare(replicate=f"replicate(); open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(1000)")
    reports: list[dict[str, Any]] = []
    switching = threading.Thread(target=lambda: reports.append(world.switch()))
    switching.start()
    wait_until(lambda: pid.exists() and pid.read_text(), "the hook runs")
    world.proxy.do("switchover-abort")
    switching.join(30)
    rolled_back(world, reports[0], "aborted by an operator while at: replicate")
    assert not alive(int(pid.read_text())) and world.steps() == ["replicate", "undo"]
    assert reports[0]["hooks"][0]["result"].startswith("killed")


def test_a_proxy_that_ends_while_a_hook_promotes_undoes_it_first(world: World, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"promote(); open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(1000)"
    world.prepare(budget_ms=60000, promote=script)
    switching = threading.Thread(target=lambda: world.proxy.admin("switchover"))
    switching.start()
    wait_until(lambda: pid.exists() and pid.read_text(), "the hook runs")
    world.proxy.write(uplink=world.old.uplink, switchover={})
    assert world.proxy.stop(signal.SIGTERM) == 0
    switching.join(30)
    assert not alive(int(pid.read_text())) and world.steps() == ["replicate", "promote", "undo"]
    assert world.old.client().set("a", 1)
    world.restart()
    assert world.proxy.client().get("a") == "1"


COPY = "print(json.dumps({'caught_up': True}))"


@pytest.mark.parametrize(
    ("promote", "why"), [(COPY, ""), ("pass", 'has not printed {"caught_up": true}'), ("sys.exit(1)", "exit code 1")]
)
def test_where_the_new_server_tells_nothing_the_word_of_the_hooks_counts(world: World, promote: str, why: str) -> None:
    world.prepare(replicate=COPY, promote=promote)
    report = world.switch()
    if why:
        rolled_back(world, report, why)
    else:
        assert report["result"] == "done" and any("is the word of the replicate hook" in x for x in report["warnings"])
        assert world.proxy.client().set("there", "1") and world.new.client().get("there") == "1"


def test_without_a_replicate_hook_the_proxy_replicates_and_needs_the_rights(world: World) -> None:
    world.prepare()
    config = world.proxy.config["switchover"]
    hooks = {name: hook for name, hook in config["hooks"].items() if name in ("promote", "undo")}
    world.proxy.write(switchover={**config, "hooks": hooks})
    report = world.switch()
    assert report["result"] == "refused" and "the new server does not allow CONFIG" in report["error"]
    world.proxy.write(uplink=world.new.uplink)
    report = world.switch()
    assert report["result"] == "done" and world.steps() == ["promote"], report


@pytest.mark.parametrize("heading", ["ElastiCache", "Memorystore for Valkey"])
def test_the_documented_programs_do_what_they_should(world: World, heading: str) -> None:
    world.prepare_documented(heading)
    with Load(world.proxy, 5) as load:
        report = world.switch()
        time.sleep(0.1)
    load.check(world.new)
    assert report["result"] == "done" and report["hooks"][0]["output"] == {}, report
    world.reset()
    world.prepare_documented(heading)
    (world.scripts / "promote").write_text("sys.exit(1)")
    rolled_back(world, world.switch(), "the promote hook has failed")
    assert any("--force" in step for step in world.steps())


def test_a_dry_run_calls_no_hook(world: World) -> None:
    world.prepare()
    assert world.proxy.do("switchover", dry_run=1)["report"]["result"] == "dry_run"
    assert world.steps() == []
