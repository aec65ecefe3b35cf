"""Fleet switchovers while proxies are killed, stopped, or cut off from each other and from the servers.

    python -m tests.chaos.fleets [--rounds 200] [--seed 1] [--clients 2] [--workers 2] [--copy] [--calm | --stops]

In half of the rounds something fails at a random moment. Exits with 1 when something was lost or doubled, when clients
of proxies that nothing had befallen saw an error, or waited for longer than the pause budget and a lease, or when the
proxies do not find to the same server in the end.
"""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.fleet_world import BUDGET_MS, COUNT, LEASE_MS, STEPS, FleetWorld, Way
from tests.chaos.relays_thread import reactor_for_relays

MARGIN_S = 1.0
"""What looking at the servers takes."""
BOUND_S = (BUDGET_MS + LEASE_MS) / 1000 + MARGIN_S
STALLS = 3
"""In so many processes, one after the other, a command may meet the longest time for which this one stood still."""
LONGEST_FAULT_S = 4.0
STOPS_S = (3.0, 6.0, 10.0)
LOOK_S = 0.02
HOWS = ("cut", "stall", "blackhole")
KINDS = ("kill", "stop", "peers", "peers", "link", "old", "new", "servers", "all")


@dataclass
class Trouble:
    """Something that fails. @ivar alone: the proxies whose clients may notice."""

    text: str
    begin: Callable[[], None]
    end: Callable[[], None] = lambda: None
    alone: tuple[int, ...] = ()


@dataclass
class Verdict:
    """The result of a run."""

    results: Counter[str] = field(default_factory=Counter)
    pauses_ms: list[float] = field(default_factory=list)
    longest_s: list[float] = field(default_factory=list)
    fences: int = 0
    problems: list[str] = field(default_factory=list)


def trouble(world: FleetWorld, leader: int, chance: random.Random, kinds: tuple[str, ...] = KINDS) -> Trouble:
    """Something that fails for one of them."""
    peer = chance.choice([each for each in range(COUNT) if each != leader])
    one = chance.choice([leader, peer])
    name = "the leader" if one == leader else "a peer"
    how = chance.choice(HOWS)
    kind = chance.choice(kinds)
    if kind == "kill":
        return Trouble(f"{name} killed", lambda: world.kill(one), alone=(one,))
    if kind == "stop":
        stop, go_on = lambda: world.signal(one, signal.SIGSTOP), lambda: world.signal(one, signal.SIGCONT)
        return Trouble(f"{name} stopped", stop, go_on, (one,))
    to_servers = {"old": [world.current], "new": [world.other], "servers": world.servers, "all": world.servers}
    ways = [world.to_server(one, each) for each in to_servers.get(kind, [])]
    if kind in ("peers", "all"):
        ways.append(world.to_peers(one))
    if kind == "link":
        one, name, ways = peer, "a peer's link to the leader", [world.from_leader(leader, peer)]
    where = {"peers": " from all peers", "old": " from the old server", "new": " from the new server"}
    where |= {"servers": " from both servers", "all": " from everything"}
    alone = (one,) if kind in to_servers else ()
    return Trouble(f"{name}: {how}{where.get(kind, '')}", lambda: _fail(ways, how), lambda: _heal(ways), alone)


def _fail(ways: list[Way], how: str) -> None:
    for way in ways:
        way.fail(how)


def _heal(ways: list[Way]) -> None:
    for way in ways:
        way.heal()


class Busy(threading.Thread):
    """@ivar longest_s: for how long the machine had no time for this process."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest_s = 0.0
        self.start()

    def run(self) -> None:
        while True:
            began = time.monotonic()
            time.sleep(LOOK_S)
            self.longest_s = max(self.longest_s, time.monotonic() - began - LOOK_S)


class Run:
    """One run."""

    def __init__(self, seed: int, clients: int, calm: bool, stops: bool, more: dict[str, Any]) -> None:
        self.chance = random.Random(seed)
        self.verdict = Verdict()
        self._calm, self._stops = calm, stops
        self._usual_s = 1.0
        self._busy = Busy()
        self.world = FleetWorld(seed, clients, more, direct=calm or stops)
        self._began = time.monotonic()

    def rounds(self, count: int) -> None:
        """Play them, up to the first fault."""
        self._wrong("the start", self.world.get_on())
        for number in range(count):
            if not self.verdict.problems:
                self._round(number)
        self._wrong("the data in the end", self.world.end())
        if count and not self.verdict.results["done"]:
            self._wrong("all rounds", ["not one switchover without trouble was done"])

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f}  {text}", flush=True)

    def _wrong(self, where: str, problems: list[str]) -> None:
        for problem in problems[:20]:
            self.verdict.problems.append(f"{where}: {problem}")
            self._say(f"WRONG    {where}: {problem}")

    def _round(self, number: int) -> None:
        world, leader = self.world, self.chance.randrange(COUNT)
        world.empty_other()
        world.point_at(world.other)
        for party in world.parties:
            for writer in party.writers:
                writer.longest_s = 0.0
        self._busy.longest_s = 0.0
        what = None
        if number % 2 and not self._calm:
            what = trouble(world, leader, self.chance, ("stop",) if self._stops else KINDS)
        for at in what.alone if what else ():
            world.parties[at].waits_alone = True
        answer = self._switched(leader, what)
        problems = world.settled() or world.get_on()
        self._tell(number, leader, what, answer, problems)

    def _switched(self, leader: int, what: Trouble | None) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        asking = threading.Thread(target=lambda: answers.append(self.world.switch_over(leader)), daemon=True)
        began = time.monotonic()
        if what is not None and not self._stops:
            self.world.slow_down(self.chance.choice([0.0, 0.02, 0.05]))
        asking.start()
        if what is not None:
            self._await_moment(leader)
            what.begin()
            time.sleep(self.chance.choice(STOPS_S) if self._stops else self.chance.uniform(0.1, LONGEST_FAULT_S))
            what.end()
            self.world.slow_down(0.0)
        asking.join(60)
        if what is None:
            self._usual_s = time.monotonic() - began
        return answers[0] if answers else {"ok": False, "error": "no answer within 60 s"}

    def _await_moment(self, leader: int) -> None:
        """Some moment of the switchover: any, or one of those in which clients are held."""
        if self.chance.random() < 0.3:
            time.sleep(self.chance.uniform(0, 1.1) * self._usual_s)
        else:
            self.world.await_step(leader, self.chance.choice(STEPS))
            time.sleep(self.chance.uniform(0, 0.1))

    def _tell(
        self, number: int, leader: int, what: Trouble | None, answer: dict[str, Any], problems: list[str]
    ) -> None:
        verdict, report = self.verdict, answer.get("report", {})
        result = report.get("result", "done" if answer["ok"] else "refused")
        verdict.results[f"{result}{' in trouble' if what else ''}"] += 1
        fenced = self.world.unfence()
        verdict.fences += fenced
        longest_s = max(
            (writer.longest_s for party in self.world.parties if not party.waits_alone for writer in party.writers),
            default=0.0,
        )
        text = f"{number:4} led by {leader}: {what.text if what else 'calm'}: {result}, longest {longest_s:.2f} s"
        text += f" (stood still {self._busy.longest_s:.2f} s)"
        self._say(text + (", a fence was left" if fenced else "") + ("" if answer["ok"] else f": {answer['error']}"))
        if what is None and answer["ok"]:
            verdict.pauses_ms.append(report["pause_ms"])
        verdict.longest_s.append(longest_s)
        if longest_s > BOUND_S + STALLS * self._busy.longest_s:
            problems.append(f"a client waited for {longest_s:.2f} s")
        for at, party in enumerate(self.world.parties):
            problems += [f"at proxy {at}: {text}" for text in party.judge()]
            party.waits_alone = False
        self._wrong(text, problems)

    def close(self) -> None:
        """End everything."""
        self._wrong("the end", self.world.close(keep=bool(self.verdict.problems)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.fleets")
    parser.add_argument("--rounds", type=int, default=200, help="switchovers")
    parser.add_argument("--seed", type=int, default=None, help="the order of faults; by default another one each time")
    parser.add_argument("--clients", type=int, default=2, help="writers at each proxy")
    parser.add_argument("--workers", type=int, default=1, help="of each proxy")
    parser.add_argument("--copy", action="store_true", help="copy the data instead of replicating it")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--calm", action="store_true", help="nothing fails")
    how.add_argument("--stops", action="store_true", help="nothing but proxies that stand still, for 3 to 10 s")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    more: dict[str, Any] = {"workers": options.workers}
    if options.copy:
        more["switchover"] = {"mode": "copy"}
    with reactor_for_relays():
        run = Run(seed, options.clients, options.calm, options.stops, more)
        try:
            run.rounds(options.rounds)
        finally:
            run.close()
    return _told(run.verdict)


def _told(verdict: Verdict) -> int:
    print("results: " + ", ".join(f"{count} {name}" for name, count in sorted(verdict.results.items())))
    if pauses := sorted(verdict.pauses_ms):
        p99 = pauses[min(len(pauses) - 1, -(-99 * len(pauses) // 100) - 1)]
        print(f"pause: median {statistics.median(pauses):.0f} ms, p99 {p99:.0f} ms, longest {pauses[-1]:.0f} ms")
    print(f"longest wait {max(verdict.longest_s, default=0):.2f} s, {verdict.fences} fences were left")
    print("FAILED" if verdict.problems else "everything was as promised")
    return bool(verdict.problems)


if __name__ == "__main__":
    sys.exit(main())
