"""How large the proxy's process is: memory, descriptors, and what lives in it.

The test starts the process with a few lines of its own that write counts to a file at a signal that means nothing to
the product, which needs no door for it then. They also have the allocator give back what is free, so that what is left
is in use.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.processes import Replaced
from tests.end_to_end.harness import Proxy, wait_until

KINDS = (
    "Deferred",
    "DelayedCall",
    "Failure",
    "Client",
    "ClientProtocol",
    "UplinkConnection",
    "Connection",
    "TLSConnection",
    "Want",
)
MEMORY_SLACK_BYTES = 6 << 20
BLOCKS_SLACK = 10_000
"""Python's small allocations; those of the last reports and of caches are among them."""
SLACK = 3

PLUGIN = f"""
import ctypes, gc, json, os, signal, sys

def count(*_):
    gc.collect()
    counts = dict.fromkeys({KINDS!r}, 0)
    for each in gc.get_objects():
        name = type(each).__name__
        if name in counts and (name != "DelayedCall" or each.active()):
            counts[name] += 1
    counts["blocks"] = sys.getallocatedblocks()
    ctypes.CDLL(None).malloc_trim(0)
    place = os.environ["REDISPROXY_TEST_COUNTS"]
    with open(place + ".new", "w") as file:
        json.dump(counts, file)
    os.replace(place + ".new", place)

signal.signal(signal.SIGRTMIN, count)
"""


@dataclass(frozen=True)
class Size:
    """One look. C{descriptors} are those that are no connections to Redis, which come and go."""

    rss_bytes: int
    descriptors: int
    uplinks: int
    counts: dict[str, int]
    pid: int

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"{self.rss_bytes / (1 << 20):.1f} MiB, {self.descriptors}+{self.uplinks} descriptors, {counts}"

    def grown_from(self, before: Size) -> list[str]:
        """What has become more than it was."""
        more = []
        if self.rss_bytes > before.rss_bytes + MEMORY_SLACK_BYTES:
            more.append(f"memory: {before.rss_bytes >> 20} to {self.rss_bytes >> 20} MiB")
        if self.descriptors > before.descriptors + SLACK:
            more.append(f"descriptors: {before.descriptors} to {self.descriptors}")
        for name, count in self.counts.items():
            # Each open connection to Redis may have a few of everything.
            slack = BLOCKS_SLACK if name == "blocks" else SLACK + 2 * max(0, self.uplinks - before.uplinks)
            if count > before.counts[name] + slack:
                more.append(f"{name}: {before.counts[name]} to {count}")
        return more


def look(proxy: Replaced, place: Path) -> Size:
    """Count everything; nobody should be connected.

    @param place: the file that the process writes its counts to.
    """
    place.unlink(missing_ok=True)
    os.kill(proxy.pid, signal.SIGRTMIN)
    wait_until(place.exists, "the process has counted its objects")
    descriptors = len(os.listdir(f"/proc/{proxy.pid}/fd"))
    info = proxy.info()
    uplinks: int = 0 if "workers" in info else info["uplink"]["connections"]  # those of workers are in theirs
    return Size(proxy.rss(), descriptors - uplinks, uplinks, json.loads(place.read_text()), proxy.pid)


def still(proxy: Proxy) -> list[str]:
    """What should be over when nobody is connected, and is not."""
    info = proxy.info()
    left = {"in flight": info["in_flight"], "held": info["held"], "clients": info["clients"]["open"]}
    return [f"{count} {name}" for name, count in left.items() if count]
