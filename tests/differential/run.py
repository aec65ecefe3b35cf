"""Plays conversation after conversation on two servers and a proxy, until a difference or the last command."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import hiredis

from tests.differential.grammar import Grammar
from tests.differential.lists import LEFT_OUT
from tests.differential.runner import Failure, Runner
from tests.differential.scenes import Writer
from tests.differential.shrink import shrunk
from tests.differential.sides import Connection, Side
from tests.differential.steps import Step
from tests.end_to_end.harness import Proxy, RedisServer

DEBUG = ("--enable-debug-command", "yes")
"""What the servers need for their data to be compared."""
CONVERSATION = 250
"""Commands in one conversation, after which everything begins anew."""
_SETTINGS: dict[str, Any] = {"pubsub": True, "limits": {"max_held_request_bytes": 32768, "max_failed_logins": 1000000}}


@dataclass(frozen=True)
class Options:
    """What to run. @ivar only: the number of the one conversation to play, -1 for all.
    @ivar shrink_s: seconds for shortening one that fails. @ivar most: end when so many have failed.
    """

    seed: int
    commands: int
    pure: bool = False
    program: str = ""
    reloads: bool = False
    only: int = -1
    shrink_s: float = 120.0
    most: int = 1


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run. @ivar problems: a transcript for each difference. @ivar tolerated: reasons and counts."""

    commands: int
    seconds: float
    problems: list[str]
    tolerated: dict[str, int]


def run(options: Options, tell: Callable[[str], None] = print) -> Outcome:
    """Play until a difference or the last command. @param tell: takes a line for whoever watches."""
    with ExitStack() as stack:
        servers = [stack.enter_context(RedisServer(*DEBUG, program=options.program)) for _ in range(2)]
        twin = {"REDISPROXY_PURE": "1"} if options.pure else None
        proxy = stack.enter_context(Proxy(servers[1].uplink, environment=twin, **_SETTINGS))
        sides = [Side(port, server.port) for port, server in zip((servers[0].port, proxy.port), servers, strict=True)]
        for side in sides:
            stack.callback(side.close)
        runner = Runner(sides[0], sides[1], lambda: _reload(proxy))
        return play_all(options, runner, Grammar(docs_of(servers[0].port), LEFT_OUT), tell)


def docs_of(port: int) -> dict[str, Any]:
    """What the server there answers to COMMAND DOCS."""
    asking, reader = Connection(port), hiredis.Reader(encoding="utf-8")
    asking.ask("HELLO", 3)
    reader.feed(asking.ask("COMMAND", "DOCS"))
    asking.close()
    docs: dict[str, Any] = reader.gets()
    return docs


def _reload(proxy: Proxy) -> None:
    proxy.do("reload")


def play_all(options: Options, runner: Runner, grammar: Grammar, tell: Callable[[str], None]) -> Outcome:
    """Play conversation after conversation."""
    began, number, done = time.monotonic(), max(0, options.only), 0
    problems: list[str] = []
    while done < options.commands and len(problems) < options.most:
        steps = Writer(random.Random(f"{options.seed}-{number}"), grammar, options.reloads).write(CONVERSATION)
        failure = runner.play(steps)
        done += sum(step.size for step in steps)
        if failure is not None:
            tell(f"seed {options.seed}, conversation {number}: a difference after {done} commands; shrinking")
            problems.append(
                f"-- seed {options.seed}, conversation {number}\n{_explained(runner, steps, failure, options.shrink_s)}"
            )
            tell(problems[-1])
        number += 1
        if options.only >= 0:
            break
    return Outcome(done, time.monotonic() - began, problems, runner.tolerated)


def _explained(runner: Runner, steps: list[Step], failure: Failure, seconds: float) -> str:
    def fails(some: list[Step]) -> bool:
        found = runner.play(some)
        return found is not None and found.signature == failure.signature

    steps = steps[: failure.step + 1]
    if not fails(steps):
        return f"(it did not happen again)\n{told(failure)}"
    short = shrunk(steps, fails, seconds)
    runner.record = []
    last = runner.play(short)
    lines, runner.record = runner.record, None
    return "\n".join([*lines, told(last or failure)])


def told(failure: Failure) -> str:
    """Write a difference for people to read."""
    args = b" ".join(failure.command.args)
    return (
        f"client {'AB'[failure.who]}, reply to {args[:200]!r}\n"
        f"  Redis: {failure.theirs[:2000]!r}\n  proxy: {failure.ours[:2000]!r}"
    )
