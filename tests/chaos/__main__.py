"""Chaos: faults with real processes; exits with 1 when something was not as promised.

    python -m tests.chaos [--seconds 110] [--seed 1] [--workers 3] [--short]

The same seed gives the same order of faults; how they fall on what goes on at the same time differs from run to run.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.chaos.relays_thread import reactor_for_relays
from tests.chaos.run import Verdict, chaos, short

SHOWN = 25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=110, help="about how long, without start and end")
    parser.add_argument("--seed", type=int, default=None, help="the order of faults; by default another one each time")
    parser.add_argument("--short", action="store_true", help="a few rounds only, in about 15 seconds")
    parser.add_argument("--forgetful", action="store_true", help="with servers that forget, so that it has to fail")
    parser.add_argument("--workers", type=int, default=None, help="of the proxy; by default one or three, by the seed")
    options = parser.parse_args()
    seed = random.randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with reactor_for_relays():
        durable = not options.forgetful
        workers = options.workers or (1, 3)[seed % 2]
        how = durable, workers
        verdict = short(seed, *how) if options.short else chaos(seed, options.seconds, *how)
    return _tell(verdict, time.monotonic() - began)


def _tell(verdict: Verdict, took_s: float) -> int:
    print(f"\nseed {verdict.seed}, {took_s:.0f} s: {verdict.turns} exchanges checked, {verdict.moves} switchovers done")
    print("rounds: " + ", ".join(f"{count} {name}" for name, count in sorted(verdict.rounds.items())))
    print("hostile clients: " + ", ".join(f"{count} {name}" for name, count in sorted(verdict.tricks.items())))
    if verdict.sizes:
        print(f"size after the first lap: {verdict.sizes[0]}\nsize in the end:          {verdict.sizes[-1]}")
    for problem in verdict.problems[:SHOWN]:
        print(f"WRONG: {problem}")
    if len(verdict.problems) > SHOWN:
        print(f"... and {len(verdict.problems) - SHOWN} more")
    print("FAILED" if verdict.problems else "everything was as promised")
    return bool(verdict.problems)


sys.exit(main())
