"""The client's side: transport <-> session.

On a command's path this is where bytes arrive and where the bytes of replies leave. C{protocol} passes on what the
transport tells, C{pump} takes commands in order, C{dispatch} says what happens with each, C{client} is what one client
consists of.
"""

from redisproxy.client.client import Client
from redisproxy.client.factory import ClientFactory

__all__ = ["Client", "ClientFactory"]
