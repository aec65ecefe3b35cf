"""Puts proxies on one processor, and Redis and the load on another one, so that proxies are as busy as they can be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from bench import certificate
from bench.errors import BenchError
from bench.load import KEY
from bench.peers import Site, start_redis
from bench.processes import Processes
from bench.wire import Connection

T = TypeVar("T")


@contextmanager
def beside_redis(name: str, folder: Path, files: int, value_bytes: int, start: Callable[[Site], T]) -> Iterator[T]:
    """What `start` has started; the body runs beside Redis, which has a value of this size.

    Raises BenchError when there is one processor only, or something does not start or answer.
    """
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise BenchError(f"{name}: two processors are needed to measure that")
    with Processes() as processes:
        with _on_processor(processors[-1]):
            redis = start_redis(processes, folder, files)
        with _on_processor(processors[0]):
            started = start(Site(processes, folder, redis, certificate.make(folder), files))
        with _on_processor(processors[-1]), Connection(redis.port) as at_redis:
            at_redis.ask(b"SET", KEY, b"x" * value_bytes)
            yield started


@contextmanager
def _on_processor(processor: int) -> Iterator[None]:
    """What is started meanwhile stays on this processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
