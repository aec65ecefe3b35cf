"""The C{redisproxy} command, against a stand-in for the admin endpoint on real sockets."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner

from redisproxy.cli.commands import main
from tests.cli.endpoint import INFO, Start

pytestmark = pytest.mark.one_twin


def issue(folder: Path, name: str) -> dict[str, str]:
    """A certificate that an authority signed, not itself, as in practice."""
    authority = trustme.CA()
    made = authority.issue_cert(name)
    names = {key: str(folder / f"{name}-{key}.pem") for key in ("certfile", "keyfile", "cacertfile")}
    made.cert_chain_pems[0].write_to_path(names["certfile"])
    made.private_key_pem.write_to_path(names["keyfile"])
    authority.cert_pem.write_to_path(names["cacertfile"])
    return names


def test_check_config_tells_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"uplink": {"addr": "a:1", "pas": "hush"}, "listen": {"addr": ":1", "tls": true}}')
    result = CliRunner().invoke(main, ["check-config", str(path)])
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.splitlines() == [
        "uplink.pas: unknown key, did you mean pass?",
        "listen: tls needs certfile and keyfile",
    ]
    path.write_text('{"uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}}')
    result = CliRunner().invoke(main, ["check-config", str(path)])
    assert result.exit_code == 0
    assert result.stdout == f'{path} is good: :1 -> a:1\n  uplink.addr  "a:1"\n  listen.addr  ":1"\n'
    assert [line.partition(": ")[2][:8] for line in result.stderr.splitlines()] == ["listen: ", "admin: w"]
    named = CliRunner().invoke(main, ["check-config", "-c", str(path)])
    assert (named.exit_code, named.stdout) == (0, result.stdout)
    without = CliRunner().invoke(main, ["check-config"])
    assert without.exit_code == 2 and "Missing argument 'FILE'" in without.stderr


def test_check_config_warns_of_secrets_that_everybody_may_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"uplink": {"addr": "localhost:1", "pass": "hush"}, "listen": {"addr": "127.0.0.1:1"}}))
    for mode, warned in ((0o644, True), (0o640, False)):
        path.chmod(mode)
        result = CliRunner().invoke(main, ["check-config", str(path)])
        assert ("chmod o-r" in result.stderr) is warned and "hush" not in result.output and result.exit_code == 0
        assert CliRunner().invoke(main, ["check-config", "--strict", str(path)]).exit_code == 1, "there is no admin"


def test_check_config_knows_which_secrets_stand_in_the_file_and_which_are_only_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_UPLINK", "hush-hush-hush-hush")
    path, secret = tmp_path / "config.json", tmp_path / "secret"
    secret.write_text("hush-hush-hush-hush")
    secret.chmod(0o644)
    base = {"uplink": {"addr": "localhost:1", "pass": "${OF_THE_UPLINK}"}, "listen": {"addr": "127.0.0.1:1"}}
    fleet = {"listen": {"addr": "127.0.0.1:3"}, "peers": ["127.0.0.1:4"]}
    for more, warned in (
        ({}, []),
        ({"fleet": {**fleet, "secret": "${OF_THE_UPLINK}"}}, []),
        ({"fleet": {**fleet, "secret": "hush-hush-hush-hush"}}, [str(path)]),
        ({"fleet": {**fleet, "secretfile": "secret"}}, ["fleet.secretfile"]),
    ):
        path.write_text(json.dumps({**base, **more}))
        path.chmod(0o644)
        result = CliRunner().invoke(main, ["check-config", str(path)])
        told = [line for line in result.stderr.splitlines() if "may read" in line]
        assert [line.split(": ")[1] for line in told] == warned and "hush" not in result.output


def test_check_config_answers_programs_in_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"uplink": {"addr": "a:1"}, "listen": {"addr": "127.0.0.1:1"}, "admin": {"addr": "127.0.0.1:2"}}')
    result = CliRunner().invoke(main, ["check-config", "--json", "--strict", str(path)])
    in_force = {"uplink.addr": "a:1", "listen.addr": "127.0.0.1:1", "admin.addr": "127.0.0.1:2"}
    assert json.loads(result.stdout) == {"ok": True, "in_force": in_force, "warnings": []} and result.exit_code == 0
    result = CliRunner().invoke(main, ["check-config", "--json", "--all", str(path)])
    assert json.loads(result.stdout)["in_force"]["limits.max_clients"] == 10000
    path.write_text("{}")
    result = CliRunner().invoke(main, ["check-config", "--json", str(path)])
    assert json.loads(result.stdout) == {"ok": False, "faults": ["uplink: missing", "listen: missing"]}
    assert result.exit_code == 1


def test_the_schema_is_printed(tmp_path: Path) -> None:
    assert json.loads(CliRunner().invoke(main, ["schema"]).stdout)["title"] == "redisproxy"


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("tls", [False, True])
def test_a_command_reaches_the_endpoint(start: Start, tmp_path: Path, unix: bool, tls: bool) -> None:
    endpoint = start(unix, issue(tmp_path, "proxy.test") if tls else None)
    result = endpoint.run("pause")
    assert (result.exit_code, result.stdout) == (0, "ok\n"), result.stderr
    assert endpoint.server.seen == [("POST", "/cmd/", "cmd=pause", None)]


def test_another_certificate_than_the_configured_one_is_not_trusted(start: Start, tmp_path: Path) -> None:
    other = issue(tmp_path, "proxy.test")
    endpoint = start(False, issue(tmp_path, "localhost"), certfile=other["certfile"], keyfile=other["keyfile"])
    result = endpoint.run("pause")
    assert result.exit_code == 2 and "certificate verify failed" in result.stderr and endpoint.server.seen == []


def test_with_a_ca_file_the_name_has_to_match(start: Start, tmp_path: Path) -> None:
    files = issue(tmp_path, "proxy.test")
    endpoint = start(False, files)
    result = endpoint.run("pause", "--cacert", files["cacertfile"])
    assert result.exit_code == 2 and "certificate is not valid for '127.0.0.1'" in result.stderr
    result = endpoint.run("pause", "--cacert", str(tmp_path / "none.pem"))
    assert result.exit_code == 2 and "none.pem: No such file or directory" in result.stderr


def test_the_password_is_taken_from_the_configuration(start: Start) -> None:
    endpoint = start(users=[{"name": "ops", "pass": "s3cret"}])
    endpoint.run("unpause")
    assert endpoint.server.seen[0][3] == "Basic " + base64.b64encode(b"ops:s3cret").decode()


def test_pause_and_wait_passes_its_deadline_on(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = (200, {"ok": True, "pause_ms": 4, "dropped": []})
    result = endpoint.run("pause-and-wait", "--timeout-ms", "250")
    assert endpoint.server.seen[0][2] == "cmd=pause-and-wait&timeout_ms=250"
    assert result.stdout == "pause_ms: 4\n"


def test_a_refused_command_tells_why(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = (409, {"ok": False, "error": "not paused"})
    result = endpoint.run("unpause")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "not paused\n")


def test_each_fault_of_a_rejected_file_has_a_line(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = (400, {"ok": False, "error": "uplink: missing\nuplnk: \x1b[2J"})
    result = endpoint.run("reload")
    assert (result.exit_code, result.stderr) == (1, "uplink: missing\nuplnk: \\x1b[2J\n")


def test_status_is_readable_or_json(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = (200, INFO)
    text = endpoint.run("status").stdout
    for part in ("paused operator", "3 connected, 2 held, 1 commands", "a:1, not connected: refused", "1.2.3, up 7 s"):
        assert part in text
    assert json.loads(endpoint.run("status", "--json").stdout) == INFO
    assert endpoint.server.seen[0][:2] == ("GET", "/info.json")
    endpoint.server.answer = (200, {**INFO, "state": "running", "paused_for": []})
    assert "state:     running, but commands wait for the server\n" in endpoint.run("status").stdout


def test_no_endpoint_and_no_answer_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    base: dict[str, Any] = {"uplink": {"addr": "a:1"}, "listen": {"addr": ":1"}}
    for admin, text in (
        ({}, "this configuration has no admin address"),
        ({"admin": {"addr": str(tmp_path / "none.sock"), "network": "unix"}}, "No such file or directory"),
    ):
        path.write_text(json.dumps({**base, **admin}))
        result = CliRunner().invoke(main, ["status", "-c", str(path)])
        assert result.exit_code == 2 and text in result.stderr


def test_upgrade_tells_what_was_done(start: Start) -> None:
    endpoint = start()
    answer = {"ok": True, "from": "1.0", "to": "1.1", "pid": 7, "clients": 50, "stayed": 2, "ms": 2345.6}
    endpoint.server.answer = (200, answer)
    result = endpoint.run("upgrade")
    assert result.exit_code == 0 and endpoint.server.seen[-1][2] == "cmd=upgrade"
    assert result.output == (
        "upgraded from 1.0 to 1.1 in 2.3 s: process 7 is in charge\n"
        "50 clients were handed over, 2 stay in the old process until they leave\n"
    )
    assert json.loads(endpoint.run("upgrade", "--json").output) == answer
    endpoint.server.answer = (502, {"ok": False, "error": "not upgraded, this process goes on: no licence"})
    result = endpoint.run("upgrade")
    assert result.exit_code == 1 and "not upgraded, this process goes on: no licence" in result.output
    assert endpoint.run("upgrade", "--json").exit_code == 1


def test_upgrade_without_an_answer_is_another_exit_code(start: Start) -> None:
    endpoint = start()
    endpoint.server.shutdown()
    endpoint.server.server_close()
    result = endpoint.run("upgrade")
    assert result.exit_code == 2 and "no answer from" in result.output


def test_a_process_that_ends_in_the_middle_is_not_taken_for_something_else(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = None  # the handler fails, which closes the connection
    endpoint.server.handle_error = lambda *_: None
    result = endpoint.run("upgrade")
    assert result.exit_code == 2 and "may have ended in the middle" in result.output
    assert "what was asked for may have happened" in result.output and "HTTP" not in result.output


def test_a_reload_lists_what_has_changed(start: Start) -> None:
    endpoint = start()
    endpoint.server.answer = 200, {"ok": True, "state": "running", "changed": ["uplink.addr", "slowlog.keys"]}
    assert endpoint.run("reload").stdout == "state: running\nchanged: uplink.addr, slowlog.keys\n"


@pytest.mark.parametrize("command", ["upgrade", "metrics"])
def test_an_answer_that_is_not_whole_is_none(start: Start, command: str) -> None:
    endpoint = start()
    endpoint.server.missing = 1
    result = endpoint.run(command)
    assert result.exit_code == 2 and "may have ended in the middle" in result.output


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (["--back"], "cmd=switchover&back=1"),
        (["--back", "--dry-run"], "cmd=switchover&dry_run=1&back=1"),
        (["--abort"], "cmd=switchover-abort"),
        (["--forget-way-back"], "cmd=forget-way-back"),
    ],
)
def test_options_of_a_switchover_say_what_is_wanted(start: Start, options: list[str], sent: str) -> None:
    endpoint = start()
    endpoint.server.answer = (409, {"ok": False, "error": "not [now]"})
    result = endpoint.run("switchover", *options)
    assert result.exit_code == 1 and "not [now]" in result.output
    assert [body for _, _, body, _ in endpoint.server.seen] == [sent]


def test_options_of_a_switchover_that_contradict_each_other_are_refused(start: Start) -> None:
    endpoint = start()
    for options in (["--abort", "--back"], ["--forget-way-back", "--dry-run"]):
        assert endpoint.run("switchover", *options).exit_code == 2
    assert endpoint.server.seen == []


def test_a_switchover_that_is_watched_goes_on_when_the_proxy_does_not_say_how_far_it_is(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as at a terminal
    endpoint = start()
    server = endpoint.server
    server.pages["/info.json"] = 200, b"its process is just being stopped"
    server.answers.clear()
    server.answer = 409, {"ok": False, "error": "not now"}
    result = endpoint.run("switchover")
    assert result.exit_code == 1 and "not now" in result.output and "no answer" not in result.output


def test_the_list_of_commands_is_told_in_whole_sentences() -> None:
    result = CliRunner().invoke(main, ["--help"], terminal_width=80)
    listed = result.stdout.partition("Commands:\n")[2].splitlines()
    assert len(listed) == len(main.commands) and all(line.endswith(".") and not line.endswith("...") for line in listed)


ASKING = (
    *("status", "clients", "slowlog", "history", "metrics", "fleet", "hot-keys", "top", "pause", "unpause", "reload"),
    *("pause-and-wait", "switchover", "switchover --abort", "switchover --forget-way-back", "failover", "upgrade"),
    "clients --user app --kill --yes",
)


@pytest.mark.parametrize("command", ASKING)
def test_programs_get_json_also_when_nobody_answers_or_the_answer_is_no(
    start: Start, tmp_path: Path, command: str
) -> None:
    nobody = tmp_path / "nobody.json"
    nobody.write_text(json.dumps({"admin": {"addr": str(tmp_path / "no.sock"), "network": "unix"}}))
    for path, code, words in ((nobody, 2, "No such file"), (tmp_path / "none.json", 1, "cannot read it")):
        result = CliRunner().invoke(main, [*command.split(), "--json", "-c", str(path)])
        told = json.loads(result.stdout)
        assert result.exit_code == code and told["ok"] is False and words in told["error"] and words in result.stderr
    endpoint = start()
    for status, code in ((401, 2), (503, 1)):
        endpoint.server.answer = status, {"ok": False, "error": "not now"}
        endpoint.server.answers.set()
        result = endpoint.run(*command.split(), "--json")
        assert result.exit_code == code and json.loads(result.stdout)["ok"] is False


def test_a_fleet_that_is_not_whole_has_the_exit_code_1_also_in_json(start: Start) -> None:
    endpoint = start()
    whole = {"fleet": True, "peers": [{"addr": "b:1", "same_server": True}], "faults": []}
    elsewhere = {**whole, "peers": [{"addr": "b:1", "same_server": False}]}
    for answer, code in (
        (whole, 0),
        ({**whole, "faults": ["c:1: no answer"]}, 1),
        (elsewhere, 1),
        ({"fleet": False}, 0),
    ):
        endpoint.server.answer = 200, answer
        result = endpoint.run("fleet", "--json")
        assert result.exit_code == code and json.loads(result.stdout) == answer


def test_what_goes_into_a_pipe_is_not_broken_into_lines(start: Start) -> None:
    endpoint = start()
    error = "uplink: " + "the configuration file still names this server " * 5
    endpoint.server.answer = 400, {"ok": False, "error": error}
    endpoint.server.answers.set()
    assert endpoint.run("switchover").stderr == f"not switched: {error}\n"
