"""How important an event of the log is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import LogLevel

if TYPE_CHECKING:
    from twisted.logger import LogEvent

CHATTER = ("twisted.protocols.amp", "twisted.internet.endpoints")
"""They tell at the level info of each connection between the processes of a proxy, and of each attempt to make one."""
LOOK_UPS = (
    "DNSDatagramProtocol ",
    "(UDP Port ",
    "Starting protocol <twisted.names.",
    "Stopping protocol <twisted.names.",
)
"""How begins what is told of each look-up at a name server, eight lines each time."""


def level_of(event: LogEvent) -> Any:
    """The C{LogLevel} of an event; what Twisted tells of connections that are no clients' counts as C{debug}."""
    level = event.get("log_level", LogLevel.info)
    return LogLevel.debug if level is LogLevel.info and _is_chatter(event) else level


def _is_chatter(event: LogEvent) -> bool:
    namespace = str(event.get("log_namespace", ""))
    of_look_up = namespace == "log_legacy" and str(event.get("log_text", "")).startswith(LOOK_UPS)
    return of_look_up or namespace.startswith(CHATTER)
