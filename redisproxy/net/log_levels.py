"""How important an event of the log is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import LogLevel

if TYPE_CHECKING:
    from twisted.logger import LogEvent

CHATTER = ("twisted.protocols.amp", "twisted.internet.endpoints")
"""They tell at the level info of each connection between the processes of a proxy, and of each attempt to make one."""


def level_of(event: LogEvent) -> Any:
    """The C{LogLevel} of an event; what Twisted tells of connections that are no clients' counts as C{debug}."""
    level = event.get("log_level", LogLevel.info)
    is_chatter = level is LogLevel.info and str(event.get("log_namespace", "")).startswith(CHATTER)
    return LogLevel.debug if is_chatter else level
