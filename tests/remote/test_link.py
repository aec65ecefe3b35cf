"""Orders over AMP: values of any size, deadlines, cancelling, versions, losses, and peers that break the rules."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.protocols import amp
from zope.interface import provider

from redisproxy.config import Settings, TcpAddress
from redisproxy.dataplane.interface import DataPlaneLost, GateReopened, NotSupported, Rejected
from redisproxy.net.errors import UplinkRefused, UplinkUnavailable
from redisproxy.remote import large, link, order, order_server
from redisproxy.remote.argument_types import PlainValue, SettingsValue
from redisproxy.remote.errors import DataPlaneFailed, VersionRefused
from redisproxy.remote.link import Descriptor, Link
from redisproxy.remote.order import Order, answering, taking
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.order_server import OrderServer
from redisproxy.remote.orders import CLOSING_S, Adopt
from redisproxy.servers.control_connection import ServerSaidNo
from tests.remote.pair import pipe


class Echo(Order):
    arguments = taking(value=bytes)
    response = answering(bytes)


class Wait(Order):
    limit_s = 3.0
    can_be_cancelled = True
    arguments = taking(name=str)
    response = answering(str)


class Ask(Order):
    limit_s = 3.0
    arguments = taking(name=str)
    response = answering(str)


class Decide(Order):
    limit_s = 3.0
    decides = True


class Unknown(Order):
    pass


class Take(Order):
    arguments = taking(descriptor=Descriptor())
    response = answering(str)


class Apply(Order):
    arguments = taking(settings=SettingsValue(), plain=PlainValue())
    response = [(b"answer", PlainValue())]  # noqa: RUF012


class Outcome:
    """What a Deferred came to."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.value: Any = None
        self.error: Exception | None = None
        deferred.addCallbacks(lambda value: setattr(self, "value", value), self._failed)

    def _failed(self, failure: Any) -> None:
        self.error = failure.value


class Pair:
    """A control plane's end and a data plane's, and what was asked of the latter."""

    def __init__(self, delay_s: float = 0.001, patience_s: float = 0.0) -> None:
        self.clock = Clock()
        self.waiting: dict[str, Deferred[str]] = {}
        self.cancelled: list[str] = []
        self.lost: list[Link] = []
        self.fails: Exception | None = None
        self.settings: Settings | None = None
        handlers: dict[type[Order], Any] = {
            Echo: lambda value: value,
            Wait: self._wait,
            Ask: self._wait,
            Decide: lambda: Deferred(),
            Take: self._take,
            Apply: self._apply,
        }
        self.control = OrderClient(self.clock, self.lost.append, patience_s=patience_s)
        self.server = OrderServer(self.clock, handlers, self.lost.append)
        self.ends = pipe(self.clock, self.control, self.server, delay_s)

    def _wait(self, name: str) -> Deferred[str]:
        if self.fails is not None:
            raise self.fails
        waiting = self.waiting[name] = Deferred(lambda _: self.cancelled.append(name))
        return waiting

    def _take(self, descriptor: int) -> str:
        with os.fdopen(descriptor, "rb") as file:
            return file.read().decode()

    def _apply(self, settings: Settings, plain: object) -> object:
        self.settings = settings
        return plain

    def give(self, order: type[Order], **arguments: Any) -> Outcome:
        return Outcome(self.control.give(order, **arguments))

    def turn(self, seconds: float = 0.1) -> None:
        self.clock.pump([0.001] * 20)
        self.clock.pump([seconds / 10] * 10)


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    greeting = Outcome(ensureDeferred(pair.control.greet()))
    pair.turn()
    assert greeting.error is None
    return pair


OF_OTHERS = ("redisproxy.control", "redisproxy.switchover", "redisproxy.fleet")


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged, as text. Rooms that take no part here log of what other tests have left behind."""
    lines: list[str] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        failure = event.get("log_failure")
        if event.get("log_namespace", "").startswith(OF_OTHERS):
            return
        lines.append(str(event) + (failure.getTraceback() if failure is not None else ""))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


# -- values


@pytest.mark.parametrize("size", [0, 1, 44_000, 60_000, 65_535, 65_536, 1_000_000])
def test_values_of_any_size_go_both_ways(pair: Pair, size: int) -> None:
    value = os.urandom(size)
    echoed = pair.give(Echo, value=value)
    pair.turn()
    assert echoed.value == value


def test_large_values_of_several_orders_do_not_mix(pair: Pair) -> None:
    values = [bytes([at]) * 200_000 for at in range(5)]
    echoed = [pair.give(Echo, value=value) for value in values]
    pair.turn()
    assert [each.value for each in echoed] == values
    assert pair.control.pieces._held_bytes == pair.server.pieces._held_bytes == 0


def test_a_value_that_is_too_large_is_not_sent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "MAX_BYTES", 1_000_000)
    before = len(pair.ends[0].sent)
    outcome = pair.give(Echo, value=b"x" * 1_000_000)
    assert isinstance(outcome.error, DataPlaneFailed) and "1000000 is the most" in str(outcome.error)
    assert len(pair.ends[0].sent) == before and not pair.control.lost


def test_a_value_of_another_type_is_not_sent_and_not_told(pair: Pair) -> None:
    outcome = pair.give(Wait, name=["secret"])
    pair.turn()
    assert isinstance(outcome.error, DataPlaneFailed) and "secret" not in str(outcome.error)
    assert not pair.waiting


def test_settings_cross_with_secrets_files_and_the_primary_that_was_found(pair: Pair) -> None:
    uplink = {"sentinels": ["s:1"], "master_name": "m", "pass": "hidden"}
    listen = [{"addr": "h:2", "users": [{"name": "u", "sha256": "a" * 64}]}]
    settings = Settings.model_validate({"uplink": uplink, "listen": listen, "allow_commands": ["debug"]})
    settings = settings.with_primary_at(TcpAddress("10.0.0.1", 6379))
    plain = {"a": [1, None, b"\xff\x00", {"b": (2.5, True)}]}
    outcome = pair.give(Apply, settings=settings, plain=plain)
    pair.turn()
    assert pair.settings == settings and pair.settings is not settings
    assert pair.settings.uplink.address == TcpAddress("10.0.0.1", 6379)
    assert pair.settings.uplink.password is not None and pair.settings.uplink.password.get_secret_value() == "hidden"
    assert outcome.value == {"a": [1, None, b"\xff\x00", {"b": [2.5, True]}]}


def test_settings_hold_only_what_was_set_so_that_an_older_data_plane_knows_them(pair: Pair) -> None:
    settings = Settings.model_validate({"uplink": {"addr": "r:1"}, "listen": [{"addr": "h:2"}]})
    pair.give(Apply, settings=settings, plain=None)
    assert b"max_dedicated" not in pair.ends[0].sent and b'"addr": "r:1"' in pair.ends[0].sent


# -- answers


def test_answers_come_in_any_order(pair: Pair) -> None:
    first, second = pair.give(Wait, name="first"), pair.give(Wait, name="second")
    pair.turn()
    pair.waiting["second"].callback("2")
    pair.turn()
    assert second.value == "2" and first.value is None
    pair.waiting["first"].callback("1")
    pair.turn()
    assert first.value == "1"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Rejected("uplink: no\nlisten: no"), Rejected),
        (GateReopened("the gate is open"), GateReopened),
        (UplinkUnavailable("gone"), UplinkUnavailable),
        (ServerSaidNo("server: NOAUTH"), UplinkRefused),
        (Rejected("ü" * 100_000), Rejected),
    ],
)
def test_an_error_of_the_interface_arrives_as_itself(pair: Pair, error: Exception, kind: type[Exception]) -> None:
    pair.fails = error
    outcome = pair.give(Wait, name="x")
    pair.turn()
    assert type(outcome.error) is kind and str(error).startswith(str(outcome.error)) and str(outcome.error)


def test_any_other_failure_is_told_without_its_text_and_logged(pair: Pair, log: list[str]) -> None:
    pair.fails = RuntimeError("the password is hidden")
    outcome = pair.give(Wait, name="x")
    pair.turn()
    assert isinstance(outcome.error, DataPlaneFailed) and "hidden" not in str(outcome.error)
    assert any("RuntimeError" in line for line in log) and not pair.server.lost


def test_work_that_the_data_plane_has_given_up_by_itself_is_lost_and_nobody_has_aborted_it(pair: Pair) -> None:
    pair.fails = CancelledError()
    outcome = pair.give(Wait, name="x")
    pair.turn()
    assert isinstance(outcome.error, DataPlaneLost)


@pytest.mark.parametrize("letter", ["x", "\x01", "\U0001f600", "\udc80"])
def test_an_error_s_text_fits_whatever_it_is_of(pair: Pair, letter: str) -> None:
    pair.fails = Rejected(letter * 100_000)
    outcome = pair.give(Wait, name="a")
    pair.turn()
    assert isinstance(outcome.error, Rejected) and str(outcome.error).startswith(letter * 1000)
    assert not pair.server.lost and not pair.control.lost


def test_an_order_that_the_data_plane_does_not_know_is_not_supported(pair: Pair) -> None:
    outcome = pair.give(Unknown)
    pair.turn()
    assert isinstance(outcome.error, NotSupported) and not pair.control.lost


# -- deadlines and cancelling


def test_an_answer_that_comes_too_late_is_ignored(pair: Pair) -> None:
    late = pair.give(Ask, name="late")
    pair.clock.pump([0.5] * 6)
    assert isinstance(late.error, DataPlaneLost) and "Ask within 3 s" in str(late.error)
    after = pair.give(Ask, name="after")
    pair.turn()
    pair.waiting["late"].callback("late" * 50_000)
    pair.turn()
    assert after.value is None and not pair.control.lost and not pair.cancelled
    pair.waiting["after"].callback("mine")
    pair.turn()
    assert after.value == "mine"


def test_an_order_that_takes_too_long_is_cancelled_at_the_data_plane(pair: Pair) -> None:
    outcome = pair.give(Wait, name="x")
    pair.clock.pump([0.5] * 6)
    pair.turn()
    assert isinstance(outcome.error, DataPlaneLost) and pair.cancelled == ["x"] and not pair.control.lost


def test_a_decision_whose_answer_does_not_come_in_time_ends_the_connection(pair: Pair) -> None:
    outcome = pair.give(Decide)
    pair.clock.pump([0.5] * 6)
    pair.turn()
    assert isinstance(outcome.error, DataPlaneLost) and pair.control.lost and pair.server.lost


def test_cancelling_is_told_to_the_data_plane(pair: Pair) -> None:
    outcome = pair.give(Wait, name="x")
    pair.turn()
    outcome.deferred.cancel()
    assert isinstance(outcome.error, CancelledError)
    pair.turn()
    assert pair.cancelled == ["x"] and not pair.control.lost and not pair.control._waiting


def test_cancelling_what_must_be_carried_out_only_ends_the_wait(pair: Pair) -> None:
    outcome = pair.give(Decide)
    outcome.deferred.cancel()
    pair.turn()
    assert isinstance(outcome.error, CancelledError) and len(pair.server._running) == 1


def test_nothing_is_left_of_orders_that_were_answered(pair: Pair) -> None:
    before = len(pair.clock.getDelayedCalls())
    outcomes = [pair.give(Echo, value=b"x") for _ in range(50)]
    pair.turn()
    assert all(each.value == b"x" for each in outcomes)
    assert not pair.control._waiting and not pair.server._running and len(pair.clock.getDelayedCalls()) <= before


# -- the end of the connection


@pytest.mark.parametrize("who", [0, 1])
def test_orders_fail_when_the_connection_is_lost_and_later_ones_too(pair: Pair, who: int) -> None:
    outcome = pair.give(Wait, name="x")
    pair.turn()
    pair.ends[who].abortConnection()
    pair.turn()
    assert isinstance(outcome.error, DataPlaneLost) and pair.cancelled == ["x"]
    assert isinstance(pair.give(Echo, value=b"").error, DataPlaneLost)
    assert sorted(map(id, pair.lost)) == sorted(map(id, (pair.control, pair.server)))
    assert not pair.clock.getDelayedCalls()


def test_a_control_plane_that_is_silent_is_lost(pair: Pair) -> None:
    pair.turn(order_server.SILENCE_S * 3)
    assert not pair.server.lost
    pair.ends[0].silent = True
    pair.clock.pump([1.0] * 6)
    assert pair.server.lost


def test_a_process_that_stood_still_reads_what_has_come_before_it_calls_the_other_one_silent(pair: Pair) -> None:
    pair.turn()
    pair.ends[0].delay_s = 0.0
    pair.clock.advance(order_server.SILENCE_S + 1)  # all timers at once, as after a stall
    assert not pair.server.lost


def test_a_process_that_stood_still_reads_the_answer_before_it_calls_it_too_late(pair: Pair) -> None:
    asked = pair.give(Ask, name="x")
    pair.turn()
    pair.ends[1].delay_s = 0.0
    pair.clock.callLater(2.5, lambda: pair.waiting["x"].callback("mine"))
    pair.clock.advance(4.0)
    assert asked.value == "mine" and not pair.control.lost


def test_one_that_may_be_silent_for_longer_is_waited_for() -> None:
    pair = Pair(patience_s=60)
    greeting = Outcome(ensureDeferred(pair.control.greet()))
    pair.turn()
    asked = pair.give(Ask, name="a")
    pair.clock.pump([0.5] * 100)
    assert greeting.error is None and asked.error is None and not pair.lost
    pair.clock.pump([0.5] * 40)
    assert isinstance(asked.error, DataPlaneLost) and "within 60 s" in str(asked.error)


def test_a_data_plane_that_is_silent_is_lost(pair: Pair) -> None:
    pair.ends[1].silent = True
    outcome = pair.give(Wait, name="x")
    pair.clock.pump([1.0] * 7)
    assert pair.control.lost and isinstance(outcome.error, DataPlaneLost)


def test_half_a_value_goes_with_the_connection(pair: Pair) -> None:
    pair.control.callRemote(large.Piece, value=7, data=b"x" * 50_000)
    pair.turn()
    assert pair.server.pieces._held_bytes
    pair.ends[0].abortConnection()
    pair.turn()
    assert not pair.server.pieces._held_bytes


# -- versions


def test_a_newer_control_plane_drives_an_older_data_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair()
    monkeypatch.setattr("redisproxy.remote.order_client.VERSION", order.VERSION + 1)
    greeting = Outcome(ensureDeferred(pair.control.greet()))
    pair.turn()
    assert greeting.error is None and pair.control.version == order.VERSION


@pytest.mark.parametrize("versions", [(order.VERSION + 1, order.VERSION + 2), (0, 0)])
def test_versions_without_one_in_common_are_refused(monkeypatch: pytest.MonkeyPatch, versions: tuple[int, int]) -> None:
    pair = Pair()
    monkeypatch.setattr("redisproxy.remote.order_client.OLDEST", versions[0])
    monkeypatch.setattr("redisproxy.remote.order_client.VERSION", versions[1])
    greeting = Outcome(ensureDeferred(pair.control.greet()))
    pair.turn()
    assert isinstance(greeting.error, VersionRefused) and "same version" in str(greeting.error)


def test_an_order_before_the_greeting_is_not_taken() -> None:
    pair = Pair()
    outcome = pair.give(Echo, value=b"x")
    pair.turn()
    assert isinstance(outcome.error, DataPlaneLost) and pair.server.lost


# -- peers that break rules


def _box(**values: bytes) -> bytes:
    return amp.AmpBox({key.encode(): value for key, value in values.items()}).serialize()


HOSTILE = {
    "a key that is too long": b"\x01\x00" + b"k" * 256,
    "no box": b"\x00" * 100,
    "an answer to nothing": _box(_answer=b"99", answer=b"secret"),
    "an error of nothing": _box(_error=b"99", _error_code=b"FAILED", _error_description=b"secret"),
    "an order without a number": _box(_ask=b"1", _command=b"Echo", value=b"=secret"),
    "an order with a wrong value": _box(_ask=b"1", _command=b"Echo", number=b"9", value=b'=["\xff secret"]'),
    "an order with a value of another type": _box(_ask=b"1", _command=b"Echo", number=b"9", value=b"=[5]"),
    "a value that has not arrived": _box(_ask=b"1", _command=b"Echo", number=b"9", value=b"+4 100"),
    "a value that is nothing": _box(_ask=b"1", _command=b"Echo", number=b"9", value=b"secret"),
    "a piece without a number": _box(_command=b"Piece", data=b"secret"),
    "a descriptor that has not arrived": _box(_ask=b"1", _command=b"Take", number=b"9", descriptor=b"0"),
    "TLS, which nobody wants": _box(_ask=b"1", _command=b"StartTLS"),
    "settings that are none": _box(_ask=b"1", _command=b"Apply", number=b"9", settings=b'={"secret": 1}', plain=b"=1"),
    "a deep tree": _box(_ask=b"1", _command=b"Apply", number=b"9", settings=b"=" + b"[" * 50_000, plain=b"=1"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_who_breaks_the_protocol_is_disconnected_and_told_nothing(pair: Pair, log: list[str], what: str) -> None:
    answered = len(pair.ends[1].sent)
    pair.ends[1].arrive(HOSTILE[what])
    pair.turn()
    assert pair.server.lost or what == "TLS, which nobody wants"
    assert b"secret" not in pair.ends[1].sent[answered:] and not any("secret" in line for line in log)
    gc.collect()
    assert not any("Traceback" in line for line in log)


def test_a_box_without_end_is_cut(pair: Pair) -> None:
    for number in range(30):
        if not pair.server.lost:
            pair.ends[1].arrive(b"\x00\x02%02d\xff\xff" % number + b"x" * 65_535)
    assert pair.server.lost


def test_pieces_without_end_are_cut(pair: Pair) -> None:
    pair.server.pieces = large.Pieces(max_bytes=1_000_000)
    for number in range(6000):
        if not pair.server.lost:
            pair.ends[1].arrive(_box(_command=b"Piece", value=b"%d" % number, data=b""))
    assert pair.server.lost and not pair.server.pieces._arrived


def test_orders_without_end_are_cut(pair: Pair) -> None:
    for number in range(order_server.MAX_ORDERS + 2):
        pair.give(Wait, name=str(number))
    pair.turn()
    assert pair.server.lost and len(pair.cancelled) >= order_server.MAX_ORDERS


# -- descriptors


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_descriptor_is_passed(pair: Pair) -> None:
    before = _files()
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)
    outcome = pair.give(Take, descriptor=read)
    pair.turn()
    os.close(read)
    assert outcome.value == "hello" and _files() == before


def test_a_client_whose_adoption_is_not_answered_in_time_ends_the_connection(pair: Pair) -> None:
    """Its socket may not have left yet, and its number be that of another client's when it does."""
    pair.server._handlers[Adopt.commandName] = Adopt, lambda **arguments: Deferred()
    with open("/dev/null") as file:
        outcome = pair.give(Adopt, state=b"", descriptor=file.fileno())
        pair.turn(CLOSING_S + 1)
    assert isinstance(outcome.error, DataPlaneLost) and pair.control.lost


@pytest.mark.parametrize("what", ["before the greeting", "the number of one that runs"])
def test_the_descriptor_of_an_order_that_is_not_taken_is_closed(what: str) -> None:
    pair = Pair()
    if what != "before the greeting":
        ensureDeferred(pair.control.greet())
        pair.turn()
        pair.give(Wait, name="a")
        pair.turn()
    before, (number, *_) = _files(), (*pair.server._running, 1)
    with open("/dev/null") as file:
        pair.ends[0].sendFileDescriptor(file.fileno())
    pair.turn()
    pair.ends[1].arrive(_box(_ask=b"9", _command=b"Take", number=b"%d" % number, descriptor=b"0"))
    pair.turn()
    assert pair.server.lost and _files() == before


def test_descriptors_that_nobody_claims_are_closed(pair: Pair) -> None:
    before = _files()
    one, other = socket.socketpair()
    for _ in range(link.MAX_UNCLAIMED + 5):
        pair.ends[0].sendFileDescriptor(one.fileno())
    pair.turn()
    assert pair.server.lost
    one.close()
    other.close()
    assert _files() == before
