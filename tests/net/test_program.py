"""Programs of operators, run within bounds; and passwords that such programs print."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from redisproxy.net import program
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.net.password_programs import PasswordPrograms
from redisproxy.net.program import Ended, ProgramFailed
from tests.end_to_end.harness import wait_until
from tests.net.bed import call, reactor

pytestmark = [pytest.mark.one_twin, pytest.mark.usefixtures("running_reactor")]

LIMIT_S = 20.0


def sh(script: str, limit_s: float = LIMIT_S, **how: Any) -> Ended:
    ended: Ended = call(lambda: program.run(reactor, ["/bin/sh", "-c", script], limit_s, **how))
    return ended


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_what_it_is_given_and_says() -> None:
    assert sh("cat; echo no >&2", stdin=b"in\n") == Ended("", False, b"in\n", False, b"no\n")
    assert sh("exit 3").how == "exit code 3" and sh("kill -9 $$").how == "signal 9"


def test_no_shell_sees_the_arguments() -> None:
    ended: Ended = call(lambda: program.run(reactor, ["echo", "$HOME; `id`", "a b"], LIMIT_S))
    assert ended.output == b"$HOME; `id` a b\n"


def test_one_that_can_not_be_started() -> None:
    for command in (["/nowhere/to/be/found"], ["/tmp"], ["a\0b"]):
        with pytest.raises(ProgramFailed, match="can't be started"):
            call(lambda command=command: program.run(reactor, command, LIMIT_S))


def test_a_large_input_that_nobody_reads_holds_nobody_up() -> None:
    assert sh("exit 0", stdin=bytes(5_000_000)).how == ""


def test_much_output_is_read_and_thrown_away() -> None:
    ended = sh("head -c 100000000 /dev/zero; head -c 5000 /dev/zero >&2; echo end >&2", max_output=1000)
    assert ended.how == "" and ended.cut and len(ended.output) == 1000
    assert len(ended.errors) == program.KEPT_ERRORS and ended.errors.endswith(b"end\n")


def test_at_its_deadline_it_is_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM HUP INT; sleep 100 & echo $! >> {pids}; echo $$ >> {pids}; echo begun; wait; sleep 100"
    ended = sh(script, limit_s=2.0)
    assert ended.late and ended.how == "signal 9" and ended.output == b"begun\n"
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: not alive(int(pid)), "it is gone")


def test_what_it_leaves_behind_holds_nobody_up_and_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    ended = sh(f"(while :; do echo x; done) & echo $! > {pid}; exit 0")
    assert ended.how == "" and time.monotonic() - began < 10
    wait_until(lambda: not alive(int(pid.read_text())), "it is gone")


def test_cancelling_kills_it(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    running: list[Deferred[Ended]] = []
    call(lambda: running.append(program.run(reactor, ["/bin/sh", "-c", f"echo $$ > {pid}; sleep 100"], LIMIT_S)))
    wait_until(lambda: pid.exists() and pid.read_text().strip(), "it runs")
    reactor.callFromThread(running[0].cancel)
    with pytest.raises(CancelledError):
        call(lambda: running[0])
    wait_until(lambda: not alive(int(pid.read_text())), "it is gone")


def test_the_end_of_the_reactor_kills_it(tmp_path: Path) -> None:
    pid, other = tmp_path / "pid", EPollReactor()

    def stop_when_it_runs() -> None:
        if pid.exists() and pid.read_text().strip():
            other.stop()
        else:
            other.callLater(0.02, stop_when_it_runs)

    other.callWhenRunning(program.run, other, ["/bin/sh", "-c", f"echo $$ > {pid}; sleep 100"], LIMIT_S)
    other.callWhenRunning(stop_when_it_runs)
    other.run(installSignalHandlers=False)
    wait_until(lambda: not alive(int(pid.read_text())), "it is gone")


def test_no_descriptors_are_left() -> None:
    sh("true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        sh("echo x")
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # others of this process come and go


# -- passwords

Ask = Callable[[], str]


@pytest.fixture
def token(tmp_path: Path) -> Path:
    """A program that counts how often it runs, and prints what a file says."""
    path = tmp_path / "token"
    path.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\n. {tmp_path}/script\n")
    path.chmod(0o700)
    return path


def script(token: Path, text: str) -> None:
    (token.parent / "script").write_text(text + "\n")


def runs(token: Path) -> int:
    path = token.parent / "runs"
    return len(path.read_text().split()) if path.exists() else 0


def made(token: Path, ttl_s: float = 0.0, limit_s: float = LIMIT_S) -> Any:
    return call(lambda: PasswordPrograms(reactor).of([str(token)], ttl_s, limit_s))


def test_it_is_asked_for_each_login_and_those_that_come_together_share_one(token: Path) -> None:
    script(token, "sleep 0.2; echo word-$(wc -l < $(dirname $0)/runs)")
    one = made(token)
    assert call(lambda: gatherResults([one.ask() for _ in range(20)])) == ["word-1"] * 20
    assert call(one.ask) == "word-2"


def test_with_a_time_to_live_it_is_asked_again_only_when_that_is_nearly_over(token: Path) -> None:
    script(token, "echo word")
    one = made(token, ttl_s=1000)
    assert [call(one.ask) for _ in range(5)] == ["word"] * 5 and runs(token) == 1
    assert not one.due
    call(lambda: one.refused("another"))
    assert call(one.ask) == "word" and runs(token) == 1
    call(lambda: one.refused("word"))
    assert call(one.ask) == "word" and runs(token) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo secret-word; exit 1", "exit code 1"),
        ("kill -11 $$", "signal 11"),
        ("true", "exactly one line"),
        ("echo a; echo b", "exactly one line"),
        ("printf '\\377'", "not UTF-8"),
        ("head -c 100000 /dev/zero", "more than 16384 bytes"),
        ("sleep 100", "within 0.5 s"),
    ],
)
def test_what_is_no_password_fails_and_with_one_from_before_that_goes_on(
    token: Path, text: str, why: str, capfd: Any
) -> None:
    script(token, text)
    limit_s = 0.5 if "sleep" in text else LIMIT_S
    one = made(token, limit_s=limit_s)
    with pytest.raises(UplinkUnavailable, match=f"passcommand: .*{why}") as failed:
        call(one.ask)
    assert "secret-word" not in str(failed.value)
    script(token, "echo good")
    one.limit_s = LIMIT_S
    assert call(one.ask) == "good" and one.error == ""
    script(token, text)
    one.limit_s = limit_s
    assert call(one.ask) == "good" and why in one.error and one.failures == 2


def test_one_who_waits_no_more_takes_nothing_from_the_others(token: Path) -> None:
    script(token, "sleep 0.3; echo word")
    one = made(token)
    asked: list[Deferred[str]] = []

    def ask() -> None:
        asked.extend([one.ask(), one.ask()])
        asked[0].addErrback(lambda failure: failure.trap(CancelledError))
        asked[0].cancel()

    call(ask)
    assert call(lambda: asked[1]) == "word" and runs(token) == 1


def test_its_log_line_has_no_password(token: Path) -> None:
    told: list[str] = []

    @implementer(ILogObserver)
    def observe(event: Any) -> None:
        if str(event.get("log_namespace", "")).startswith("redisproxy"):
            told.append(event["log_format"].format(**event))

    script(token, "echo t0ken-of-old")
    one = made(token)
    call(one.ask)
    globalLogPublisher.addObserver(observe)
    try:
        script(token, "echo t0ken-new; echo got t0ken-new instead of t0ken-of-old: no network >&2; exit 1")
        call(one.ask)
        call(one.ask)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert len(told) == 1 and "exit code 1; the password before stays in use" in told[0]
    assert "no network" in told[0] and "t0ken" not in told[0]


def test_only_so_many_programs_are_remembered() -> None:
    def remembered() -> int:
        programs = PasswordPrograms(reactor)
        for number in range(100):
            programs.of([sys.executable, str(number)], 0, 1)
        return len(programs._by_command)

    assert call(remembered) == 16
