"""A whole switch-test: one run in a folder of its own, of which nothing is left but logs of faults."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from redisproxy.switch_test.failover_run import FailoverRun
from redisproxy.switch_test.options import Options
from redisproxy.switch_test.processes import raise_file_limit
from redisproxy.switch_test.run import Run, Show

FILES_BESIDE = 200


def switch_test(options: Options, show: Show) -> dict[str, Any]:
    """Carry out a run in a temporary folder; after a fault the folder stays, with the logs.

    @param show: called with the result so far at the start, after each move, and before the end.
    @raise CouldNotRun: the test can't run, for a reason that is not the proxy's.
    """
    raise_file_limit(options.idle + 3 * (options.busy + options.blocked) + FILES_BESIDE)
    folder = Path(tempfile.mkdtemp(prefix="switch-test-"))
    result: dict[str, Any] = {}
    try:
        run = FailoverRun(options, folder) if options.failovers else Run(options, folder)
        try:
            run.run(show)
            result = run.result()
        except KeyboardInterrupt:
            result = run.result(interrupted=True)
        finally:
            _let_nobody_interrupt()
            run.end()
        return result
    finally:
        _clean_up(folder, keep_logs=bool(result.get("faults")))


def _clean_up(folder: Path, keep_logs: bool) -> None:
    for each in [*folder.glob("redis-?"), *folder.glob("sentinel-?")] if keep_logs else [folder]:
        shutil.rmtree(each, ignore_errors=True)


def _let_nobody_interrupt() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
