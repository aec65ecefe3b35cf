"""Workers that do not start in time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.internet.error import ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from redisproxy import config
from redisproxy.remote.run_directory import RunDirectory
from redisproxy.workers.crew import Crew
from redisproxy.workers.gone import Gone
from redisproxy.workers.handovers import Handovers
from redisproxy.workers.lingering import Lingering
from redisproxy.workers.members import Members
from redisproxy.workers.supervisor import MAX_S, MOST_START_S, START_S, Supervisor


class NoAnswers:
    """Nobody asks."""

    def handlers(self) -> dict[Any, Any]:
        return {}


class Slow:
    """A process that never gets as far as saying that it is up."""

    pid = 4711

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def writeToChild(self, descriptor: int, data: bytes) -> None: ...

    def closeChildFD(self, descriptor: int) -> None: ...

    def signalProcess(self, number: int) -> None:
        self._protocol.processEnded(Failure(ProcessTerminated(signal=number)))


class Overloaded(Clock):
    """A machine on which processes are started and get nowhere.

    @ivar begun: when each was started.
    """

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[float] = []

    def spawnProcess(self, protocol: Any, *arguments: Any, **more: Any) -> Slow:
        self.begun.append(self.seconds())
        return Slow(protocol)


def supervised(machine: Overloaded, directory: RunDirectory) -> Supervisor:
    document = {"uplink": {"addr": "127.0.0.1:1"}, "listen": {"addr": "127.0.0.1:2"}, "workers": 2}
    settings = config.Settings.model_validate(document)
    members = Members(settings, machine)
    lingering = Lingering(members, Handovers(members, machine), lambda: settings, machine)
    crew = Crew(members, Gone(), lingering, directory, machine)
    crew.answers = NoAnswers()
    return Supervisor(crew, machine)


def test_the_directory_is_made_again_for_a_worker_if_somebody_has_removed_it(tmp_path: Path) -> None:
    machine, path = Overloaded(), tmp_path / "run"
    supervisor = supervised(machine, RunDirectory(str(path)))
    supervisor.keep(1)
    assert len(machine.begun) == 1 and path.is_dir()
    path.rmdir()
    path.write_text("somebody else's")
    machine.pump([1.0] * 45)
    assert len(machine.begun) == 1, "there is nowhere where it could listen"
    path.unlink()
    machine.pump([1.0] * 15)
    assert len(machine.begun) == 2 and path.is_dir()


def test_each_start_that_takes_too_long_gives_the_next_one_more_time(tmp_path: Path) -> None:
    machine = Overloaded()
    supervisor = supervised(machine, RunDirectory(str(tmp_path / "run")))
    supervisor.keep(1)
    machine.pump([1.0] * 1200)
    began = machine.begun
    lasted = [after - before for before, after in pairwise(began)]
    for each, limit_s in zip(lasted[:4], (START_S, 2 * START_S, 4 * START_S, MOST_START_S), strict=True):
        assert limit_s <= each <= limit_s + 2 * MAX_S + 2
    assert max(lasted) <= MOST_START_S + 2 * MAX_S + 2
