"""The uplink: connections to the Redis server that the proxy forwards to.

On a command's path this comes after the gate. L{UplinkConnection} is one authenticated connection with a FIFO of (who
waits, how many replies); L{UplinkSet} hands connections out: shared ones, one for each (database, RESP version), and
pinned ones that one client holds for as long as it has state there.
"""

from redisproxy.forwarding.collector import Collector
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.limits import UplinkLimits
from redisproxy.uplink.login import Credentials
from redisproxy.uplink.pool import UplinkSet
from redisproxy.uplink.relief import BUSY

__all__ = ["BUSY", "Collector", "Credentials", "UplinkConnection", "UplinkLimits", "UplinkSet"]
