"""An RQ worker that tells of its jobs as L{switching.ProcessWorker} wants to hear.

Called with the port of the proxy and C{SimpleWorker} (which runs jobs itself) or C{Worker} (which forks for each). It
ends when RQ's shutdown command reaches it, or with its standard input. What RQ logs from warnings on is a problem.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

import redis
import rq
from redis.backoff import NoBackoff
from redis.retry import Retry


def run(number: int) -> int:
    """The job: leave the number in a list."""
    job = rq.get_current_job()
    assert job is not None
    job.connection.rpush("ran", number)
    return number


def tell(jobs: int) -> None:
    """Print one line."""
    print(json.dumps({"counts": {"jobs": jobs}, "problem": ""}), flush=True)


def counting(kind: type[Any]) -> type[Any]:
    """This kind of worker, which tells of each job."""

    class Counting(kind):  # type: ignore[misc]
        jobs = 0

        def execute_job(self, job: rq.job.Job, queue: rq.Queue) -> None:
            super().execute_job(job, queue)
            self.jobs += 1
            tell(self.jobs)

    return Counting


def stop_with_input() -> None:
    """End the process in RQ's orderly way when there is no more input."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main(port: str, kind: str) -> None:
    client = redis.Redis(port=int(port), retry=Retry(NoBackoff(), 0))
    worker = counting(getattr(rq, kind))(["work"], connection=client)
    threading.Thread(target=stop_with_input, daemon=True).start()
    worker.work(logging_level="WARNING")
    tell(worker.jobs)


if __name__ == "__main__":
    main(*sys.argv[1:])
