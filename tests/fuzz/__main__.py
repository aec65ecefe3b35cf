"""Fuzz every target for a while, guided by coverage; exits with 1 when one has failed.

    python -m tests.fuzz [--seconds 60] [--corpus FOLDER] [--random] [TARGET ...]

`seconds` is for all targets together. An input that fails is printed. With C{--random} inputs are mutated blindly, for
where the fuzzer can't be loaded, as under a sanitizer.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MAX_INPUT_BYTES = 4096


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", help="by default all of them")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--corpus", type=Path, help="keep what was found interesting in this folder")
    parser.add_argument("--random", action="store_true", help="mutate blindly, without the fuzzer")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        work = _mutate if options.random else _fuzz
        work(options.one, options.seconds, options.corpus)
        return 0
    return _run_all(options.targets, options.seconds, options.corpus, options.random)


def _run_all(names: list[str], seconds: int, corpus: Path | None, blindly: bool) -> int:
    from tests.fuzz.targets import TARGETS

    names = names or list(TARGETS)
    share = max(1, seconds // len(names))
    failed = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            folder = (corpus or Path(scratch)) / name
            folder.mkdir(parents=True, exist_ok=True)
            for number, seed in enumerate(TARGETS[name].corpus()):
                (folder / f"seed-{number}").write_bytes(seed)
            print(f"-- {name}, {share} s", flush=True)
            options = ["--one", name, "--seconds", str(share), "--corpus", str(folder)]
            options += ["--random"] if blindly else []
            if subprocess.run([sys.executable, "-m", "tests.fuzz", *options], check=False).returncode:
                failed.append(name)
    print("failed: " + ", ".join(failed) if failed else "nothing was found")
    return bool(failed)


def _fuzz(name: str, seconds: int, corpus: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=["redisproxy", "tests.fuzz"]):
        from tests.fuzz.targets import TARGETS

    arguments = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", "-timeout=20", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *arguments, f"-artifact_prefix={corpus}/failed-", str(corpus)], TARGETS[name].check)
    atheris.Fuzz()


def _mutate(name: str, seconds: int, corpus: Path) -> None:
    from tests.fuzz.targets import TARGETS

    target, seed, count = TARGETS[name], time.time_ns(), 0
    chance = random.Random(seed)
    inputs = [path.read_bytes() for path in sorted(corpus.iterdir())]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        data = bytearray(chance.choice(inputs))
        for _ in range(chance.randint(1, 8)):
            at = chance.randint(0, len(data))
            new = chance.choice([b"", chance.randbytes(chance.randint(1, 4)), chance.choice(target.tokens)])
            data[at : at + chance.choice([0, 0, 1, 4, 30])] = new
        try:
            target.check(bytes(data[:MAX_INPUT_BYTES]))
        except BaseException:
            print(f"failed with {bytes(data)!r}", flush=True)
            raise
        count += 1
    print(f"{count} inputs", flush=True)


sys.exit(main())
