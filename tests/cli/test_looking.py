"""Commands that look at the running proxy, against a stand-in: what they print, and how they end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from rich.console import Console

from redisproxy.cli.commands import main
from redisproxy.cli.terminal import duration, milliseconds, number, shown, table
from tests.cli.endpoint import INFO, Endpoint, Start

pytestmark = pytest.mark.one_twin

HOSTILE = "\x1b[2J\u202eevil\r\n\x9b31m"
NOW = {
    "commands_per_s": 12345, "errors_per_s": 0, "client_p50_ms": 0.21, "client_p99_ms": 1.5, "uplink_p50_ms": 0.1,
    "uplink_p99_ms": None,
}  # fmt: skip
ROW = {
    "id": 7, "addr": "10.0.0.1:5", "user": "app", "name": "shop", "lib": "redis-py 5", "db": 0, "cmd": "blpop",
    "age_s": 61.0, "idle_s": 3.0, "pending": 1, "state": "blocked", "worker": None,
}  # fmt: skip


def clients(*rows: dict[str, Any], total: int | None = None, missing: tuple[str, ...] = ()) -> tuple[int, Any]:
    found = [{**ROW, **row} for row in rows]
    return 200, {"clients": found, "total": len(found) if total is None else total, "missing": list(missing)}


def asked(endpoint: Endpoint) -> list[str]:
    return [f"{path} {body}".strip() for _, path, body, _ in endpoint.server.seen]


def test_texts_for_people() -> None:
    assert [duration(each) for each in (0.4, 59, 61, 3700, 90000)] == ["0 s", "59 s", "1 min", "1 h 1 min", "1 d 1 h"]
    assert [number(each) for each in (None, 0, 7.25, 999, 12345, 2.5e6)] == ["-", "0", "7.2", "999", "12.3k", "2.5M"]
    assert number(1.25e6, "B") == "1.2 MB" and [milliseconds(each) for each in (None, 0.5, 1234)] == [
        "-",
        "0.50 ms",
        "1,234 ms",
    ]


def test_what_could_steer_a_terminal_is_escaped() -> None:
    text = shown(HOSTILE + "\ud800 ä 漢")
    assert text.isprintable() and text == "\\x1b[2J\\u202eevil\\r\\n\\x9b31m\\ud800 ä 漢"


def test_in_a_narrow_terminal_what_is_long_gets_more_lines_and_the_rest_stays_whole() -> None:
    heads = ("when", "what", "result", "pause", "held", "details")
    row = ("2026-11-28 03:15:15", "switchover", "rolled back", "148 ms", "1000", "10.0.0.1:6379 -> 10.0.0.2:6379; gone")
    drawn = StringIO()
    Console(file=drawn, width=80).print(table(heads, [row], right=("pause", "held"), wrap=("details",)))
    lines = drawn.getvalue().splitlines()
    assert "\u2026" not in drawn.getvalue() and max(map(len, lines)) <= 80 and len(lines) > 2
    assert all(cell in lines[1] for cell in row[:-1])


def test_in_a_very_narrow_terminal_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redisproxy.cli.terminal._narrower_than", lambda columns: columns > 40)
    rows = [("03:15:15", "rolled back", "", HOSTILE + " of 10.0.0.1:6379"), ("03:15:16", "done", "4 ms", "")]
    drawn = StringIO()
    Console(file=drawn, width=40).print(table(("when", "result", "pause", "details"), rows, right=("pause",)))
    lines = drawn.getvalue().splitlines()
    assert "\u2026" not in drawn.getvalue() and max(map(len, lines)) <= 40 and len(lines) == 8
    assert [line.split()[0] if line.split() else "" for line in lines][-4:] == ["", "when", "result", "pause"]


def test_history_tells_several_faults_in_one_line(start: Start) -> None:
    endpoint = start()
    rejected = {"at": 10.0, "ok": False, "error": "uplink: missing\nuplnk: unknown key"}
    endpoint.server.pages = {"/info.json": (200, {**INFO, "last_reload": rejected})}
    assert "uplink: missing; uplnk: unknown key" in endpoint.run("history").stdout


def test_status_tells_rates_and_latency_where_the_proxy_knows_them(start: Start) -> None:
    endpoint = start()
    endpoint.server.pages = {"/info.json": (200, INFO), "/figures.json": (200, {"now": NOW})}
    text = endpoint.run("status").stdout
    assert "12.3k a second, 0 errors" in text and "0.21 ms / 1.50 ms for clients, 0.10 ms / - of the server" in text
    endpoint.server.pages["/figures.json"] = (404, {"ok": False})
    result = endpoint.run("status")
    assert result.exit_code == 0 and "latency" not in result.stdout


def test_status_tells_of_a_move_and_of_the_way_back(start: Start) -> None:
    endpoint = start()
    switchover: dict[str, Any] = {
        "current": {"to": HOSTILE, "step": "fence"},
        "way_back": {"to": "b:1", "follows": False, "why_not": "lost"},
    }
    endpoint.server.pages = {"/info.json": (200, {**INFO, "switchover": switchover})}
    text = endpoint.run("status").stdout
    assert "evil\\r\\n\\x9b31m: fence" in text and "b:1, which does not follow: lost" in text
    assert all(line.isprintable() for line in text.splitlines())
    switchover["way_back"]["why_not"] = ""
    assert "b:1, which does not follow\n" in endpoint.run("status").stdout


def test_status_can_be_asked_by_scripts(start: Start) -> None:
    endpoint = start()
    endpoint.server.pages = {"/info.json": (200, INFO)}
    assert [endpoint.run("status").exit_code, endpoint.run("status", "--check").exit_code] == [0, 1]
    good = {**INFO, "state": "running", "paused_for": [], "uplink": {**INFO["uplink"], "connected": True}}
    endpoint.server.pages["/info.json"] = (200, good)
    assert endpoint.run("status", "--check").exit_code == 0


def test_clients_are_shown_as_a_table_and_nothing_of_them_steers_the_terminal(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = clients(
        {}, {"id": 8, "name": HOSTILE, "lib": HOSTILE, "worker": 2}, total=9, missing=("worker 1",)
    )
    result = endpoint.run("clients")
    head, first, second = result.stdout.splitlines()
    assert head.split() == [
        "id",
        "addr",
        "user",
        "name",
        "lib",
        "db",
        "cmd",
        "age",
        "idle",
        "pending",
        "state",
        "worker",
    ]
    assert first.split()[:4] == ["7", "10.0.0.1:5", "app", "shop"] and "1 min" in first and "evil" in second
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert result.stderr == "9 clients, of whom 2 are shown\nwarning: worker 1 has not told its clients\n"


def test_what_no_client_has_takes_no_room(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = clients({"name": "", "lib": "", "cmd": "", "state": "slow reader"})
    result = endpoint.run("clients")
    assert result.stdout.splitlines()[0].split() == ["id", "addr", "user", "db", "age", "idle", "pending", "state"]
    assert result.stderr == "1 client\n"


def test_what_status_shows_fits_a_terminal_of_80_columns(start: Start) -> None:
    endpoint = start()
    now = {**NOW, "client_p50_ms": 9.99, "client_p99_ms": 9.99, "uplink_p50_ms": 9.99, "uplink_p99_ms": 9999.0}
    endpoint.server.pages = {"/info.json": (200, INFO), "/figures.json": (200, {"now": now})}
    lines = endpoint.run("status").stdout.splitlines()
    assert max(map(len, lines)) <= 80 and "           (p50 / p99)" in lines


def test_filters_of_clients_are_passed_on(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = clients()
    words = "--id 1 --id 2 --addr 10. --user a&b --name n --lib l --db 0 --cmd get --state held --text t --min-age-s 1"
    endpoint.run(
        "clients", *words.split(), "--min-idle-s", "2", "--min-pending", "3", "--sort", "-age_s", "--limit", "5"
    )
    assert parse_qs(urlsplit(endpoint.server.seen[0][1]).query) == {
        "id": ["1,2"], "addr": ["10."], "user": ["a&b"], "name": ["n"], "lib": ["l"], "db": ["0"], "cmd": ["get"],
        "state": ["held"], "text": ["t"], "min_age_s": ["1"], "min_idle_s": ["2"], "min_pending": ["3"],
        "sort": ["-age_s"], "limit": ["5"],
    }  # fmt: skip


def test_clients_are_killed_in_parcels_when_that_is_confirmed(start: Start) -> None:
    endpoint = start()
    endpoint.server.pages = {
        "/clients.json": clients(*({"id": number} for number in range(1, 701))),
        "/cmd/": (200, {"ok": True, "killed": 350}),
    }
    result = endpoint.run("clients", "--kill")
    assert result.exit_code == 2 and "needs to be told whom" in result.stderr and asked(endpoint) == []
    result = endpoint.run("clients", "--user", "app", "--kill")
    assert result.exit_code == 1 and "would disconnect 700 clients; say --yes" in result.stderr
    assert asked(endpoint) == ["/clients.json?user=app&limit=10000"]
    result = endpoint.run("clients", "--user", "app", "--kill", "--yes")
    assert result.exit_code == 0 and result.stdout == "700 clients were disconnected\n"
    assert [len(body.split("%2C")) for _, path, body, _ in endpoint.server.seen if path == "/cmd/"] == [500, 200]
    assert json.loads(endpoint.run("clients", "--user", "app", "--kill", "--yes", "--json").stdout) == {"killed": 700}


def test_killing_nobody_is_told_by_the_exit_code(start: Start) -> None:
    endpoint = start()
    endpoint.server.pages = {"/clients.json": clients()}
    result = endpoint.run("clients", "--id", "4", "--kill", "--yes")
    assert result.exit_code == 1 and result.stdout == "0 clients were disconnected\n"


def test_history_has_all_moves_the_newest_first(start: Start) -> None:
    endpoint = start()
    switchover = {
        "at": 20.0,
        "from": "a:1",
        "to": "b:1",
        "result": "rolled_back",
        "pause_ms": 3.5,
        "held": 4,
        "error": HOSTILE,
    }
    info = {
        **INFO,
        "switchover": {"last": [switchover]},
        "upgrade": {"last": [{"at": 30.0, "ok": True, "from": "1", "to": "2"}]},
        "last_reload": {"at": 10.0, "ok": True, "changed": ["pubsub"], "pause_ms": 1.0},
    }
    endpoint.server.pages = {"/info.json": (200, info)}
    events = json.loads(endpoint.run("history", "--json").stdout)
    assert [(each["what"], each["result"]) for each in events] == [
        ("upgrade", "done"),
        ("switchover", "rolled back"),
        ("reload", "done"),
    ]
    text = endpoint.run("history").stdout
    assert "a:1 -> b:1; \\x1b[2J" in text and "pubsub" in text and all(line.isprintable() for line in text.splitlines())
    endpoint.server.pages = {"/info.json": (200, INFO)}
    assert endpoint.run("history").stdout == "nothing yet\n"
    sentinel = {"last_switch": {"at": 20.0, "from": "a:1", "to": "b:1"}}
    endpoint.server.pages = {"/info.json": (200, {**INFO, "uplink": {**INFO["uplink"], "sentinel": sentinel}})}
    (event,) = json.loads(endpoint.run("history", "--json").stdout)
    assert (event["what"], event["result"], event["details"]) == ("new primary", "followed", "a:1 -> b:1")
    failover = {"at": 20.0, "from": "a:1", "to": "a:1", "kind": "failover", "result": "refused", "error": "one\ntwo"}
    endpoint.server.pages = {"/info.json": (200, {**INFO, "switchover": {"last": [{**failover, "pause_ms": 0.0}]}})}
    (event,) = json.loads(endpoint.run("history", "--json").stdout)
    assert (event["what"], event["pause"], event["details"]) == ("failover", "", "a:1 -> a:1; one; two")
    refused = {"at": 10.0, "ok": False, "error": "the file still names a:1", "for": "switchover"}
    endpoint.server.pages = {"/info.json": (200, {**INFO, "last_reload": refused})}
    (event,) = json.loads(endpoint.run("history", "--json").stdout)
    assert (event["what"], event["result"]) == ("switchover", "rejected")


def test_metrics_are_found_by_a_part_of_their_name(start: Start) -> None:
    endpoint = start()
    text = b'# TYPE a_total counter\na_total{command="x\\\\x1b"} 5\n# TYPE b gauge\nb 1.5\n'
    endpoint.server.pages = {"/metrics": (200, text)}
    assert endpoint.run("metrics", "b").stdout == "b 1.5\n"
    assert [each["value"] for each in json.loads(endpoint.run("metrics", "--json").stdout)] == [5.0, 1.5]
    none = endpoint.run("metrics", "nothing")
    assert none.exit_code == 1 and none.stdout == "" and "no metric has 'nothing' in its name" in none.stderr


def test_slow_commands_are_a_table(start: Start) -> None:
    endpoint = start()
    entry = {
        "id": 1, "time": 5.0, "client_id": 7, "addr": "10.0.0.1:5", "user": "app", "command": "KEYS", "key": HOSTILE,
        "proxy_ms": 0.1, "redis_ms": 812.0, "total_ms": 812.1,
    }  # fmt: skip
    endpoint.server.pages = {"/slowlog.json": (200, {"entries": [entry] * 3})}
    result = endpoint.run("slowlog", "--limit", "2")
    lines = result.stdout.splitlines()
    assert len(lines) == 3 and "812 ms" in lines[1] and "KEYS" in lines[1] and all(map(str.isprintable, lines))
    endpoint.server.pages = {"/slowlog.json": (404, {"ok": False, "error": "there is no such page"})}
    result = endpoint.run("slowlog")
    assert result.exit_code == 1 and "has no log of slow commands: upgrade it" in result.stderr


def test_hot_keys_and_large_replies_are_tables(start: Start) -> None:
    endpoint = start()
    key = {"key": HOSTILE, "family": "hash", "commands_per_s": 1234.5, "share": 0.25}
    reply = {"bytes": 5_000_000, "command": "HGETALL", "key": HOSTILE, "time": 5.0}
    hot = {"sample": 100, "sampled": 400, "commands_per_s": 5000.0, "keys": [key] * 3, "replies": [reply] * 3}
    endpoint.server.pages = {"/hot_keys.json": (200, hot)}
    lines = endpoint.run("hot-keys", "--limit", "2").stdout.splitlines()
    assert len(lines) == 7 and all(map(str.isprintable, lines))
    assert lines[2].split()[:3] == ["25.0%", "1.2k", "hash"] and lines[5].split()[:2] == ["5,000,000", "HGETALL"]
    assert len(json.loads(endpoint.run("hot-keys", "--json", "--limit", "1").stdout)["keys"]) == 1
    endpoint.server.pages = {"/hot_keys.json": (200, {**hot, "sample": 0, "keys": [], "replies": []})}
    result = endpoint.run("hot-keys")
    assert result.exit_code == 1 and "set hot_keys.sample" in result.stderr
    endpoint.server.pages = {"/hot_keys.json": (404, {"ok": False, "error": "there is no such page"})}
    assert "upgrade it" in endpoint.run("hot-keys").stderr


LOOKING = ("status", "clients", "history", "metrics", "slowlog", "hot-keys", "top", "pause")


@pytest.mark.parametrize("command", LOOKING)
def test_a_password_that_is_wrong_is_told_with_what_to_do(start: Start, command: str) -> None:
    endpoint = start()
    endpoint.server.answer = (401, {"ok": False, "error": "name and password required"})
    result = endpoint.run(command)
    assert result.exit_code == 2 and "wants another name and password" in result.stderr
    assert "REDISPROXY_ADMIN_PASSWORD" in result.stderr


@pytest.mark.parametrize("command", LOOKING)
def test_no_answer_is_told_with_what_to_do(tmp_path: Path, command: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}, "admin": {"addr": "127.0.0.1:1"}}))
    result = CliRunner().invoke(main, [command, "-c", str(path)])
    assert result.exit_code == 2 and "no answer from 127.0.0.1:1" in result.stderr
    assert "is the proxy running, and with this configuration?" in result.stderr


def test_what_answers_and_is_no_proxy_is_told(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = (200, b"<html>")
    result = endpoint.run("status")
    assert result.exit_code == 2 and "what listens there is no redisproxy" in result.stderr


def test_name_and_password_may_come_from_the_environment(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = start(users=[{"name": "ops", "sha256": "0" * 64}])
    monkeypatch.setenv("REDISPROXY_ADMIN_USER", "ops")
    monkeypatch.setenv("REDISPROXY_ADMIN_PASSWORD", "s3cret")
    endpoint.run("pause")
    assert endpoint.server.seen[0][3] == "Basic b3BzOnMzY3JldA=="


def test_a_running_proxy_is_reached_with_a_file_that_is_half_edited(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = start()
    text = endpoint.config.read_text().replace('"uplink"', '"upl": 1, // to do\n"uplink"')
    endpoint.config.write_text(text)
    assert endpoint.run("pause").exit_code == 0
    monkeypatch.setenv("REDISPROXY_CONFIG", str(endpoint.config))
    assert CliRunner().invoke(main, ["unpause"]).exit_code == 0, "the file may be named in the environment"


def test_simple_commands_answer_programs_in_json(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = (409, {"ok": False, "error": "no"})
    result = endpoint.run("pause", "--json")
    assert json.loads(result.stdout) == {"ok": False, "error": "no"} and result.exit_code == 1


# -- completion


def installed(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell}")
    return found


def test_bash_completes_options() -> None:
    bash = installed("bash")
    script = """
        eval "$(redisproxy completion bash)"
        COMP_WORDS=(redisproxy clients --st) COMP_CWORD=2
        _redisproxy_completion redisproxy
        echo "${COMPREPLY[@]}"
    """
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    answer = subprocess.run([bash, "--norc", "-c", script], capture_output=True, timeout=60, env=environment)
    assert answer.stdout.decode() == "--state\n", answer


def test_fish_completes_options(tmp_path: Path) -> None:
    fish = installed("fish")
    (tmp_path / "redisproxy.fish").write_text(CliRunner().invoke(main, ["completion", "fish"]).stdout)
    script = f"source {tmp_path}/redisproxy.fish; complete --do-complete 'redisproxy clients --st'"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    answer = subprocess.run([fish, "--no-config", "-c", script], capture_output=True, timeout=60, env=environment)
    assert answer.stdout.decode().startswith("--state"), answer


ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; fpath=($1 \\$fpath); autoload -Uz compinit; compinit -u -D; echo rea''dy"
zpty -r shell said '*ready*'
zpty -w -n shell $'redisproxy clients --sta\\t'
zpty -r shell said '*--state*'
print -r -- "$said"
zpty -d shell
"""
"""Types into an interactive shell, which alone completes."""


def test_zsh_completes_options(tmp_path: Path) -> None:
    zsh = installed("zsh")
    (tmp_path / "_redisproxy").write_text(CliRunner().invoke(main, ["completion", "zsh"]).stdout)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}
    command = [zsh, "-f", "-c", ZSH, "zsh", str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, timeout=60, env=environment)
    assert "--state" in answer.stdout.decode(), answer


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0 and f"_REDISPROXY_COMPLETE={shell}_complete" in result.stdout
