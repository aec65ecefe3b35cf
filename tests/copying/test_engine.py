"""What the engine of a copy does when orders come at an unusual moment."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from redisproxy.config import SwitchoverSettings
from redisproxy.copying.changes import Changes
from redisproxy.copying.copy_run import CopyRun
from redisproxy.copying.endpoint import Endpoint, Features
from redisproxy.copying.figures import CopyFigures
from redisproxy.copying.interface import CopyFailed
from redisproxy.copying.servers import CopiedServers
from redisproxy.copying.trial import Trial


def copy_run(clock: Clock, changes: Changes) -> CopyRun:
    """A copy that has not begun, between servers that nobody asks."""
    nobody: Any = None
    ends = Endpoint(nobody, Features()), Endpoint(nobody, Features())
    servers = CopiedServers(nobody, nobody, ends, Trial({}, {}))
    return CopyRun(servers, changes, CopyFigures(clock.seconds), nobody, SwitchoverSettings(), clock)


def test_a_large_key_that_changes_all_the_time_is_named_however_long_one_round_takes() -> None:
    """One round of it may take longer than all of them are waited for."""
    clock, changes = Clock(), Changes()
    run = copy_run(clock, changes)
    run.named.slow[0, b"board"] = 61.0
    changes.add([b"board"])
    clock.advance(SwitchoverSettings().sync_stall_ms / 1000 + 1)
    with pytest.raises(CopyFailed, match=r"large keys change again .* board in database 0 \(61\.0 s\)"):
        run.converge._require_progress(clock.seconds() + 1000)


def test_what_is_noted_before_the_feed_is_open_counts_as_changed() -> None:
    """A copy that begins anew has no feed for a moment, and its notes come all the time."""
    changes = Changes()
    run = copy_run(Clock(), changes)
    done: list[object] = []
    ensureDeferred(run.note(((3, b"stream"),))).addBoth(done.append)
    assert done == [None] and b"stream" in changes
