"""The log: levels, text and JSON, one line an event, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from redisproxy.config import Settings
from redisproxy.control.logs import Logs
from redisproxy.workers.log_pipe import LogPipe, event_in

pytestmark = pytest.mark.one_twin


class World:
    """A log file, and the settings in force."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "log"
        self.settings = self.of()
        self._logs = Logs({"logfile": str(self.path), "nodaemon": True}, lambda: self.settings).open()
        self.log = Logger(namespace="redisproxy.test", observer=LogPublisher(self._logs))

    @staticmethod
    def of(**more: Any) -> Settings:
        return Settings.model_validate({"uplink": {"addr": "a:1"}, "listen": {"addr": ":2"}, **more})

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_level_is_that_in_force_at_the_moment(world: World) -> None:
    levels = ("debug", "info", "warn", "error")
    for level in levels:
        world.settings = world.of(log_level=level)
        for each in (world.log.debug, world.log.info, world.log.warn, world.log.error, world.log.critical):
            each("said at {at}", at=level)
    assert [sum(line.endswith(f"said at {level}") for line in world.lines()) for level in levels] == [5, 4, 3, 2]


@pytest.mark.parametrize("namespace", ["twisted.protocols.amp", "twisted.internet.endpoints.OneShotFactory"])
def test_connections_between_the_processes_of_a_proxy_are_for_debugging(world: World, namespace: str) -> None:
    twisted = Logger(namespace=namespace, observer=world.log.observer)
    twisted.info("established")
    twisted.warn("odd")
    world.settings = world.of(log_level="debug")
    twisted.info("established again")
    assert [line.rpartition("] ")[2] for line in world.lines()] == ["odd", "established again"]


def test_json_is_one_object_a_line_also_of_a_failure(world: World) -> None:
    world.settings = world.of(log_format="json")
    world.log.warn("{what} is\nlost", what="the uplink")
    try:
        raise ValueError("why")
    except ValueError:
        world.log.failure("failed", failure=Failure())
    lost, failed = map(json.loads, world.lines())
    assert lost["message"] == "the uplink is\nlost" and lost["level"] == "warn"
    assert lost["namespace"] == "redisproxy.test" and lost["time"].endswith("+00:00")
    assert failed["message"] == "failed" and "ValueError: why" in failed["traceback"]


def test_an_event_is_one_line_of_text_with_its_milliseconds_and_a_traceback_several(world: World) -> None:
    world.log.warn("one fault\nand another")
    (line,) = world.lines()
    assert line.endswith("[redisproxy.test#warn] one fault; and another")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d \[", line)
    world.log.error("worker 1: Traceback (most recent call last)\n  File x\nValueError: why")
    assert len(world.lines()) == 4


def test_the_report_of_a_move_is_an_object_in_json_and_stands_behind_the_text(world: World) -> None:
    report = {"result": "done", "steps": [{"name": "drain", "ms": 1.5}]}
    world.log.info("switchover: done", report=report)
    world.settings = world.of(log_format="json")
    world.log.info("switchover: done", report=report)
    text, line = world.lines()
    assert text.endswith("] switchover: done " + json.dumps(report))
    told = json.loads(line)
    assert told["report"] == report and told["message"] == "switchover: done"


@pytest.mark.parametrize("form", ["text", "json"])
def test_hostile_bytes_are_escaped(world: World, form: str) -> None:
    world.settings = world.of(log_format=form)
    world.log.info("{name}", name="a\x1b[31m\x00\x9b\nb")
    text = world.path.read_text()
    assert not {character for character in text if not character.isprintable()} - {"\n", "\t"}
    assert len([line for line in world.lines() if not line.startswith("\t")]) == 1


def test_a_worker_tells_its_level_and_a_traceback_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    with path.open("wb") as pipe:
        log = Logger(namespace="redisproxy.worker", observer=LogPublisher(LogPipe(pipe.fileno())))
        log.warn("slow")
        log.error("two\nlines")
    first, second = path.read_text().splitlines()
    level, text = event_in(first)
    assert level.name == "warn" and text.endswith("slow")
    level, text = event_in(second)
    assert level.name == "error" and text.endswith("two\nlines")
    assert [event_in(line)[1] for line in ("plain", '<4>"cut', "<9>x")] == ["plain", '<4>"cut', "<9>x"]
