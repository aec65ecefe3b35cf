"""Why a client's commands are not taken for now."""

from __future__ import annotations

from enum import IntFlag


class Reason(IntFlag):
    """Reasons to wait. While there is one, the client's transport is paused."""

    GATE = 1
    """The gate is closed."""
    REPLIES = 2
    """Replies are outstanding that have to come first."""
    UPLINK = 4
    """A connection to Redis is wanted."""
    WRITABLE = 8
    """The connection to Redis takes no more bytes for now."""
    SLOW_READER = 16
    """The client does not read its replies."""
    IN_FLIGHT = 32
    """The client has as many replies outstanding as it may."""
    SUBSCRIPTION = 128
    """What it publishes came after a change of a subscription that the server has not confirmed yet."""
    ASIDE = 64
    """Its blocking command waits until a switch is over."""
