"""RQ through many switches: every job runs, once, and its workers still hear commands afterwards."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import redis
import rq
from rq.command import send_shutdown_command

from tests.end_to_end.harness import wait_until
from tests.end_to_end.libraries import rq_worker
from tests.end_to_end.libraries.switching import ProcessWorker, Rig, ThreadWorker

ROOT = Path(__file__).parent.parent.parent.parent


def jobs(queue: rq.Queue) -> Iterator[None]:
    """Job after job; now and then wait for all, so that workers block.

    None depends on another: RQ 3.0 with several workers loses one dependent job in thirty even without a proxy (it
    stays "ready to enqueue" for ever).
    """
    for number in count():
        job = queue.enqueue(rq_worker.run, number)
        while number % 10 == 9 and job.get_status(refresh=True) != "finished":
            time.sleep(0.002)
        yield


def rq_process(rig: Rig, kind: str) -> ProcessWorker:
    where = str(Path(rq_worker.__file__))
    return ProcessWorker(sys.executable, where, str(rig.proxy.port), kind, PYTHONPATH=str(ROOT))


def shut_down(client: redis.Redis, *workers: ProcessWorker) -> None:
    """Over pub/sub, which each worker has subscribed to before the first switch."""
    for known in rq.Worker.all(connection=client):
        send_shutdown_command(client, known.name)
    wait_until(lambda: all(worker.ended for worker in workers), "every worker has ended")


@pytest.mark.parametrize("kind", ["SimpleWorker", "Worker"])
def test_every_job_runs_once(rig: Rig, kind: str) -> None:
    client = rig.proxy.client(decode_responses=False)
    queue = rq.Queue("work", connection=client)
    producer = ThreadWorker(jobs(queue))
    workers = [rq_process(rig, kind) for _ in range(2)]
    with rig.switching_under(producer, *workers, reconnects=kind == "Worker"):
        producer.stop()
        wait_until(lambda: sum(worker.done for worker in workers) >= producer.done, "every job has run")
        shut_down(client, *workers)
    assert sorted(int(number) for number in rig.server.lrange("ran", 0, -1)) == list(range(producer.done))
    assert sum(worker.done for worker in workers) == producer.done == queue.finished_job_registry.count
    assert queue.failed_job_registry.count == 0
