"""The uplink: connections to the Redis server that the proxy forwards to.

On a command's path this comes after the gate. L{UplinkSet} hands connections out: shared ones, one for each (database,
RESP version), and pinned ones that one client holds for as long as it has state there. L{UplinkConnection} is one
authenticated connection with a FIFO of (who waits, how many replies).

The client side sees both only as C{forwarding.interfaces.Uplinks} and C{Connection}. The data plane builds an
L{UplinkSet} from L{Credentials} and an L{UplinkContext} with L{UplinkLimits}, looks at its clock for it (C{tick},
C{head_of_line.check}, C{registry.overdue}), and asks for what the pages show. L{BUSY} is what to tell when
C{busy_probe.busy}.
"""

from redisproxy.uplink.busy_probe import BUSY
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.context import UplinkContext
from redisproxy.uplink.limits import UplinkLimits
from redisproxy.uplink.login import Credentials, CredentialSource
from redisproxy.uplink.uplink_set import UplinkSet

__all__ = ["BUSY", "CredentialSource", "Credentials", "UplinkConnection", "UplinkContext", "UplinkLimits", "UplinkSet"]
