"""Random conversations with a Redis, and through the proxy with another one, get the same replies."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest

from tests.differential.grammar import Grammar
from tests.differential.lists import LEFT_OUT
from tests.differential.run import DEBUG, Options, docs_of, play_all, run
from tests.differential.runner import Runner
from tests.differential.sides import Side
from tests.end_to_end.harness import RedisServer


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.one_twin)])
def test_random_conversations_get_the_replies_of_redis(seed: int) -> None:
    outcome = run(Options(seed, commands=10000, shrink_s=30))
    assert not outcome.problems, outcome.problems[0]


@pytest.mark.timeout(240)
def test_reloads_between_commands_change_no_reply() -> None:
    outcome = run(Options(3, commands=2000, reloads=True, shrink_s=30))
    assert not outcome.problems, outcome.problems[0]


@pytest.mark.one_twin
def test_a_difference_is_found_and_made_short() -> None:
    renamed = ("--rename-command", "HSTRLEN", "HLENGTH")
    with ExitStack() as stack:
        servers = [stack.enter_context(RedisServer(*DEBUG, *more)) for more in ((), renamed)]
        sides = [stack.enter_context(closing(Side(each.port, each.port))) for each in servers]
        grammar = Grammar(docs_of(servers[0].port), LEFT_OUT)
        runner = Runner(sides[0], sides[1], reload=lambda: None)
        outcome = play_all(Options(1, 5000, shrink_s=30), runner, grammar, lambda _: None)
    assert len(outcome.problems) == 1 and outcome.problems[0].count(" >> ") == 1
    assert "hstrlen" in outcome.problems[0].lower() and "-ERR unknown command" in outcome.problems[0]
