"""Compare the proxy with Redis on random conversations; exits with 1 when there was a difference.

    python -m tests.differential [--seed N] [--commands 20000] [--pure] [--reloads] [--program PATH] [--only N]

A difference is printed as the shortest conversation that still shows it. C{--only} plays one conversation of the seed.
"""

from __future__ import annotations

import argparse
import random
import sys

from tests.differential.run import Options, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--commands", type=int, default=20000)
    parser.add_argument("--pure", action="store_true", help="the pure twin")
    parser.add_argument("--reloads", action="store_true", help="let the proxy reload between steps")
    parser.add_argument("--program", default="", help="the server's program; by default the system's redis-server")
    parser.add_argument("--only", type=int, default=-1, help="the number of one conversation")
    parser.add_argument("--shrink", type=float, default=120.0, help="seconds for shortening a conversation that fails")
    parser.add_argument("--most", type=int, default=1, help="end when so many conversations have failed")
    given = parser.parse_args()
    print(f"-- differential, seed {given.seed}", flush=True)
    options = Options(
        given.seed, given.commands, given.pure, given.program, given.reloads, given.only, given.shrink, given.most
    )
    outcome = run(options, lambda line: print(line, flush=True))
    for reason, count in sorted(outcome.tolerated.items()):
        print(f"{count} times {reason}")
    found = f"{len(outcome.problems)} differences" if outcome.problems else "no difference"
    print(f"{outcome.commands} commands in {outcome.seconds:.0f} s: {found}", flush=True)
    return bool(outcome.problems)


sys.exit(main())
