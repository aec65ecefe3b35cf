"""Plays many seeds: C{python -m tests.simulation 0-999}. The first that fails is shown with its transcript."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pool

from twisted.logger import globalLogBeginner

from tests.simulation.mode import Mode
from tests.simulation.outcome import Outcome
from tests.simulation.planted import BUGS, planted
from tests.simulation.world import run

MODES = {
    Mode.BOUNDARY: "control plane and data plane are two processes",
    Mode.WORKERS: "clients are spread over workers, which are killed, stopped and cut off",
    Mode.HANDOVER: "clients go from one worker to another as well",
    Mode.UPGRADE: "the proxy upgrades itself, and both processes are killed, stopped and cut off",
    Mode.RESTART: "the control process is killed as well, and a new one finds the workers",
    Mode.FAILOVER: "sentinels are told to fail over, and die, while servers hang and proxies stand still",
    Mode.FLEET: "two to four proxies are operated as one, and are killed, stopped and cut off",
}
CHUNK = 20
SHOWN = 10
LINES = 60


def seeds(text: str) -> range:
    """C{3} or C{0-999}, both ends included."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def play(work: tuple[int, str, Mode]) -> Outcome:
    """Play one seed, with a planted bug or without."""
    seed, bug, mode = work
    with planted(bug):
        outcome = run(seed, mode)
    if not outcome.violation:
        outcome.transcript = []
    return outcome


def outcomes(numbers: range, bug: str, mode: Mode, jobs: int) -> Iterator[Outcome]:
    """Play the seeds; their outcomes in any order."""
    works = [(seed, bug, mode) for seed in numbers]
    if jobs == 1:
        yield from map(play, works)
        return
    with Pool(jobs) as pool:
        yield from pool.imap_unordered(play, works, CHUNK)


def show(outcome: Outcome, lines: int) -> None:
    """Print what went wrong, and what had happened before."""
    print(f"\nseed {outcome.seed}: {outcome.violation}\n")
    print("\n".join(outcome.transcript[-lines:]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", type=seeds, help="a number, or two with a dash between them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--plant", choices=sorted(BUGS), default="", help="a bug that should be found")
    modes = parser.add_mutually_exclusive_group()
    for mode, text in MODES.items():
        modes.add_argument(f"--{mode.value}", dest="mode", action="store_const", const=mode, help=text)
    parser.set_defaults(mode=Mode.ONE_PROCESS)
    parser.add_argument("--all", action="store_true", help="print the whole transcript of a seed that fails")
    return parser.parse_args()


def main() -> int:
    """Exit code 1 when a seed fails."""
    options = _options()
    # What a killed process has left in the middle is found and closed by Python at any time, with many words.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    sys.unraisablehook = lambda unraisable: None
    began, failed = time.monotonic(), []
    count = commands = switchovers = 0
    jobs = options.jobs if len(options.seeds) > CHUNK else 1
    for outcome in outcomes(options.seeds, options.plant, options.mode, jobs):
        count += 1
        commands += outcome.commands
        switchovers += outcome.switchovers
        if outcome.violation:
            failed.append(outcome.seed)
        if outcome.violation and len(failed) == 1:
            show(outcome, 0 if options.all else LINES)
        if sys.stderr.isatty():
            print(f"\r{count} of {len(options.seeds)} seeds, {len(failed)} failed", end="", file=sys.stderr)
    took = time.monotonic() - began
    print(
        f"\n{count} seeds in {took:.0f} s: {commands} commands, {switchovers} switchovers, {len(failed)} seeds failed"
    )
    if failed:
        print(f"failed: {' '.join(map(str, sorted(failed)[:SHOWN]))}{' ...' if len(failed) > SHOWN else ''}")
        how = f" --{options.mode.value}" if options.mode.value else ""
        how += f" --plant {options.plant}" if options.plant else ""
        print(f"again: python -m tests.simulation {min(failed)}{how}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
