"""The C{redisproxy} command. It speaks to a running proxy through the admin endpoint only."""

from redisproxy.cli.commands import main

__all__ = ["main"]
