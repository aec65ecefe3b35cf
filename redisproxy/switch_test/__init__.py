"""C{redisproxy switch-test}: moves real clients between two Redis servers, again and again, and checks every reply.

Operators run it as a proof. It starts servers and the proxy as processes and sees them from outside only.
"""
