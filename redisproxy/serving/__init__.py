"""Clients come, are served and go: C{protocol} passes on what the transport tells, C{pump} takes commands in order.

C{arriving} and C{leaving} are the two ends of the way of a client from one data plane to another.
"""

from redisproxy.serving.factory import ClientFactory

__all__ = ["ClientFactory"]
