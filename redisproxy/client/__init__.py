"""The client's side: transport <-> session.

On a command's path this is where bytes arrive and where the bytes of replies leave. L{ClientProtocol} decides nothing
that a session or the command table can decide; it moves bytes, stops reading when it has to, and starts again.
"""

from redisproxy.client.factory import ClientFactory
from redisproxy.client.protocol import ClientProtocol

__all__ = ["ClientFactory", "ClientProtocol"]
