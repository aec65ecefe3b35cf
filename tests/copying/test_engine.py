"""What the engine of a copy does when orders come at an unusual moment."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from redisproxy.config import SwitchoverSettings
from redisproxy.copying.changes import Changes
from redisproxy.copying.copy_run import CopyRun
from redisproxy.copying.endpoint import Endpoint, Features
from redisproxy.copying.figures import CopyFigures
from redisproxy.copying.servers import CopiedServers
from redisproxy.copying.trial import Trial


def test_what_is_noted_before_the_feed_is_open_counts_as_changed() -> None:
    """A copy that begins anew has no feed for a moment, and its notes come all the time."""
    nobody: Any = None
    ends = Endpoint(nobody, Features()), Endpoint(nobody, Features())
    clock, changes = Clock(), Changes()
    servers = CopiedServers(nobody, nobody, ends, Trial({}, {}))
    run = CopyRun(servers, changes, CopyFigures(clock.seconds), nobody, SwitchoverSettings(), clock)
    done: list[object] = []
    ensureDeferred(run.note(((3, b"stream"),))).addBoth(done.append)
    assert done == [None] and b"stream" in changes
