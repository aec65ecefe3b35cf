"""The switchover: moves the data and the clients from one Redis server to another, or undoes everything.

C{switchover.py} has the order of the steps; each step, the pause and the way back are a module. It knows the servers,
and the data plane and the control plane by their interfaces; none of their sockets.
"""

from redisproxy.switchover.failure import SwitchoverFailed
from redisproxy.switchover.report import Report
from redisproxy.switchover.switchover import Switchover

__all__ = ["Report", "Switchover", "SwitchoverFailed"]
