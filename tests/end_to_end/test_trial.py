"""Which types a server restores as another one dumps them, and what it can't hold at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.samples import FIELD_TTLS, VECTOR_SET
from redisproxy.copying.trial import Trial, Way, try_types
from tests.end_to_end.copying import PROGRAMS, between, raw
from tests.end_to_end.harness import RedisServer

pytestmark = pytest.mark.one_twin

SIMPLE = ("string", "list", "set", "zset", "hash", "stream")
RELAXED = "Valkey 9, relaxed"


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RedisServer]]:
    started = {name: RedisServer(program=program()) for name, program in PROGRAMS.items()}
    started[RELAXED] = RedisServer("--rdb-version-check", "relaxed", program=PROGRAMS["Valkey 9"]())
    yield started
    for each in started.values():
        each.stop()


def tried(servers: dict[str, RedisServer], old: str, new: str) -> Trial:
    async def work(_: Any, source: Endpoint, target: Endpoint) -> Trial:
        return await try_types(source, target)

    trial: Trial = between(servers[old], servers[new], work)
    assert all(raw(servers[name]).dbsize() == 0 for name in (old, new)), "nothing is left"
    assert trial.reasons.keys() == {kind for kind, way in trial.ways.items() if way is not Way.RESTORE}
    return trial


@pytest.mark.parametrize(
    ("old", "new"), [("Redis 6.2", "Redis 7.0"), ("Redis 7.0", "Valkey 9"), ("Redis 7.0", "Redis 8")]
)
def test_upwards_everything_is_restored(servers: dict[str, RedisServer], old: str, new: str) -> None:
    assert tried(servers, old, new).ways == dict.fromkeys(SIMPLE, Way.RESTORE)


@pytest.mark.parametrize(
    ("old", "new"), [("Redis 7.0", "Redis 6.2"), ("Redis 8", "Redis 7.0"), ("Valkey 9", "Redis 7.0")]
)
def test_downwards_values_are_copied_by_type_and_what_can_not_be_held_is_named(
    servers: dict[str, RedisServer], old: str, new: str
) -> None:
    trial = tried(servers, old, new)
    others = {"Redis 8": (FIELD_TTLS, VECTOR_SET), "Valkey 9": (FIELD_TTLS,)}.get(old, ())
    assert trial.ways == {**dict.fromkeys(SIMPLE, Way.BY_TYPE), **dict.fromkeys(others, Way.NOT)}
    assert all("DUMP payload version" in why for why in trial.reasons.values())


def test_a_lenient_server_restores_all_but_what_it_stores_otherwise(servers: dict[str, RedisServer]) -> None:
    trial = tried(servers, "Redis 8", RELAXED)
    assert trial.ways == {**dict.fromkeys(SIMPLE, Way.RESTORE), FIELD_TTLS: Way.BY_TYPE, VECTOR_SET: Way.NOT}


def test_between_two_that_know_field_ttls_these_go_by_type(servers: dict[str, RedisServer]) -> None:
    trial = tried(servers, "Valkey 9", "Redis 8")
    assert trial.ways == dict.fromkeys((*SIMPLE, FIELD_TTLS), Way.BY_TYPE)
