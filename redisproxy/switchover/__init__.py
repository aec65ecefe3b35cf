"""The switchover: one coroutine that moves the data and the clients from the old Redis server to the new one.

Preflight, replicate, catch up, pause, drain, fence, verify, promote, swap, resume. Whatever fails before the gate opens
on the new server is rolled back: the old one takes writes again, the gate opens on it, and the new configuration is not
taken. No client is dropped for it. The rule behind the order: a write is acknowledged by the old server only before the
fence, its offset is sampled after the fence, and the new one is promoted only when it has applied that offset.
"""

from redisproxy.switchover.report import Report, SwitchoverFailed
from redisproxy.switchover.switchover import Switchover

__all__ = ["Report", "Switchover", "SwitchoverFailed"]
