"""What is typed in a terminal: the C{redisproxy} command. It knows the admin endpoint, not the proxy."""

from redisproxy.cli.commands import main

__all__ = ["main"]
