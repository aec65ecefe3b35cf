"""What one client consists of: its session, what has arrived and is to leave, and its way to the server.

C{client.Client} holds the parts, which know one another downward only. What happens with a command is in C{handlers}.
"""

from redisproxy.client.client import Client

__all__ = ["Client"]
